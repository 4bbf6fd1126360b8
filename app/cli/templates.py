"""`mailqueue template`: files become immutable versions; what is wrong is shown in its lines."""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from app.assembly import draft
from app.assembly.contents import Content
from app.campaigns import templates
from app.campaigns.templates import TemplateVersion
from app.cli.context import CLI, app_option, chosen_app, database
from app.cli.output import Group, facts, printer, table
from app.errors import InputInvalid, TemplateInvalid

_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_AROUND = 2


@click.group(cls=Group)
def template() -> None:
    """Templates: a subject, an HTML part and a text part, in versions."""


def content_options(command: Any) -> Any:
    """Add --subject, --html and --text."""
    options = (
        click.option("--subject", help="The subject; by default the <title> of the HTML file."),
        click.option("--html", "html_file", type=_FILE, help="The HTML part."),
        click.option("--text", "text_file", type=_FILE, help="The text part; derived when absent."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def read_content(subject: str | None, html_file: Path | None, text_file: Path | None) -> Content:
    """Return what the files say; raises InputInvalid when there is no subject or no part."""
    html_part = _read(html_file) if html_file else None
    text_part = _read(text_file) if text_file else None
    if html_part is None and text_part is None:
        raise InputInvalid("A template needs a part.", fix="Say --html FILE or --text FILE.")
    titles = _TITLE.search(html_part or "")
    title = html.unescape(titles[1]).strip() if titles else ""
    if not (subject or title):
        raise InputInvalid(
            "The template has no subject.",
            fix="Say --subject, or give the HTML file a <title>.",
            field="subject",
        )
    return Content(subject=subject or title, html=html_part, text=text_part)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputInvalid(
            f"{path} is not UTF-8 text.",
            why=f"Byte {error.start} is {error.object[error.start]:#04x}.",
            fix="Save the file as UTF-8.",
            field=str(path),
        ) from error


@contextmanager
def explained(content: Content) -> Iterator[None]:
    """Add the lines around each problem to a TemplateInvalid that passes."""
    try:
        yield
    except TemplateInvalid as error:
        parts = {"subject": content.subject, "html": content.html, "text": content.text}
        for found in error.problems:
            error.add_note(excerpt(found.part, parts.get(found.part) or "", found.line))
        raise


def excerpt(part: str, source: str, line: int) -> str:
    """Return the lines around `line` with their numbers, the line itself marked."""
    lines = source.splitlines()
    first, last = max(1, line - _AROUND), min(len(lines), line + _AROUND)
    shown: list[str] = [
        f"{'>' if number == line else ' '} {number:>4} | {lines[number - 1]}"
        for number in range(first, last + 1)
    ]
    return "\n".join([f"  {part}:", *shown])


@template.command()
@app_option
@click.argument("name")
@content_options
def save(app_name: str | None, name: str, **files: Any) -> None:
    """Save the files as the next version of the template NAME; the same again changes nothing."""
    content = read_content(**files)
    with database() as session, explained(content):
        app = chosen_app(session, app_name)
        saved = templates.save(session, app.id, name, content, CLI)
    printer().show(facts_of(saved) | {"is_unchanged": saved.is_unchanged}, _saved)


@template.command()
@content_options
def check(**files: Any) -> None:
    """Check the files without saving; lists the variables they use."""
    content = read_content(**files)
    with explained(content):
        parsed = draft.parse(content.subject, content.html, content.text)
    result = {"ok": True, "subject": content.subject, "variables": list(parsed.variables)}
    printer().show(result, _checked)


@template.command("list")
@app_option
def list_(app_name: str | None) -> None:
    """List the templates of an app, each with its newest version."""
    with database() as session:
        app = chosen_app(session, app_name)
        found = [facts_of(one) for one in templates.list_latest(session, app.id)]
    printer().show(found, _listed)


@template.command()
@app_option
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Instead of the newest.")
def show(app_name: str | None, name: str, version: int | None) -> None:
    """Show a template's subject, variables and parts."""
    with database() as session:
        app = chosen_app(session, app_name)
        found = templates.get(session, app.id, name, version)
    result = facts_of(found) | {"html": found.content.html, "text": found.content.text}
    printer().show(result, lambda shown: facts("", shown))


def facts_of(found: TemplateVersion) -> dict[str, Any]:
    """Return what is shown of a version."""
    return {
        "id": str(found.id),
        "name": found.name,
        "version": found.version,
        "subject": found.content.subject,
        "variables": list(found.variables),
    }


def _checked(result: Mapping[str, Any]) -> Text:
    return Text(f"No fault found. Variables: {', '.join(result['variables']) or 'none'}")


def _saved(result: Mapping[str, Any]) -> Text:
    name = f"{result['name']} version {result['version']}"
    if result["is_unchanged"]:
        return Text(f"Nothing changed: {name} says exactly this.")
    return Text(f"Saved {name}. Variables: {', '.join(result['variables']) or 'none'}")


def _listed(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not found:
        return Text("No template yet. Make one: mailqueue template save NAME --html FILE")
    listed = table("", "name", "#version", "subject", "variables")
    for one in found:
        variables = Text(", ".join(one["variables"]))
        listed.add_row(one["name"], str(one["version"]), Text(one["subject"]), variables)
    return listed
