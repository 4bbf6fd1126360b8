"""`mailqueue openapi`: the contract of the HTTP API, as it is served at /v1/openapi.json."""

import json
from pathlib import Path

import click
from rich.json import JSON

from app.api import catalogue
from app.cli.output import Command, printer

FILE = Path("docs/openapi.json")


@click.command("openapi", cls=Command)
@click.option("--write", "is_write", is_flag=True, help=f"Write {FILE} here.")
def openapi(is_write: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Print the OpenAPI document of this release, or write the file made from it."""
    if is_write:
        write_file(Path())
    printer().show(catalogue.contract(), lambda _: JSON(written()))


def write_file(root: Path) -> None:
    """Make docs/openapi.json under `root` anew."""
    (root / FILE).parent.mkdir(exist_ok=True)
    (root / FILE).write_text(written())


def written() -> str:
    """Return the document as the file holds it."""
    return json.dumps(catalogue.contract(), indent=1, ensure_ascii=False) + "\n"
