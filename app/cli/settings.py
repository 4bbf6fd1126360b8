"""`mailqueue settings`: the documentation of the settings, made from the model."""

from pathlib import Path

import click
from rich.markdown import Markdown

from app.cli.output import Command, printer
from app.cli.settings_file import example, markdown_table, replace_table, variables


@click.command("settings", cls=Command)
@click.option("--write", "is_write", is_flag=True, help="Write .env.example and README.md here.")
def settings_(is_write: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Print every setting with its default, or write the files made from them."""
    if is_write:
        write_files(Path())
    result = [
        {"name": found.name, "default": found.default, "about": found.about}
        for found in variables()
    ]
    printer().show(result, lambda _: Markdown(markdown_table()))


def write_files(root: Path) -> None:
    """Make .env.example and the README's table under `root` anew."""
    (root / ".env.example").write_text(example())
    readme = root / "README.md"
    if readme.exists():
        readme.write_text(replace_table(readme.read_text()))
