"""What a command says: tables and sentences for people, one JSON value for machines.

Results go to stdout and nothing else does; progress and errors go to stderr. `--json` stands on
every command and on the program itself.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

import click
import orjson
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from app.api.problems import problem
from app.errors import MailqueueError, TemplateInvalid

Result = TypeVar("Result")
# Told the number of things done and the share of the whole, 0 to 1.
Advance = Callable[[int, float], None]

_WIDE = 120
_KEY = "mailqueue.printer"


class Printer(Protocol):
    """Where a command's result and its errors go."""

    def show(self, result: Result, render: Callable[[Result], RenderableType]) -> None:
        """Print the result of the command."""

    def show_line(self, result: Result, render: Callable[[Result], RenderableType]) -> None:
        """Print one of many results, as soon as it is known."""

    def fail(self, error: MailqueueError) -> None:
        """Print why the command was not done."""

    def progress(self, title: str, unit: str) -> AbstractContextManager[Advance]:
        """Return a context manager that yields `advance(done, share)`."""


class PeoplePrinter:
    """Tables and sentences; colour only on a terminal."""

    def show(self, result: Result, render: Callable[[Result], RenderableType]) -> None:
        """Print the rendered result to stdout."""
        console().print(render(result))

    def show_line(self, result: Result, render: Callable[[Result], RenderableType]) -> None:
        """Print the rendered result, and an empty line below it."""
        console().print(render(result), "", sep="\n")

    def fail(self, error: MailqueueError) -> None:
        """Print what happened, why, and what to do, to stderr."""
        Console(stderr=True).print(sentences(error), soft_wrap=True)

    @contextmanager
    def progress(self, title: str, unit: str) -> Iterator[Advance]:
        """Draw a bar with count, rate and time left on stderr, where a terminal is."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=1.0, rate="")

            def advance(done: int, share: float) -> None:
                elapsed_s = bar.tasks[0].elapsed or 1.0
                rate = f"{done:,} {unit}, {done / elapsed_s:,.0f} a second"
                bar.update(task, completed=share, rate=rate)

            yield advance


class JsonPrinter:
    """One JSON value on stdout; an error is a problem object (RFC 9457) on stderr."""

    def show(self, result: Result, render: Callable[[Result], RenderableType]) -> None:  # noqa: ARG002 - machines get the facts
        """Print the result itself."""
        click.echo(orjson.dumps(result, default=str, option=orjson.OPT_INDENT_2))

    def show_line(self, result: Result, render: Callable[[Result], RenderableType]) -> None:  # noqa: ARG002 - machines get the facts
        """Print the result on one line."""
        click.echo(orjson.dumps(result, default=str))

    def fail(self, error: MailqueueError) -> None:
        """Print the error as a problem object."""
        click.echo(orjson.dumps(problem(error), default=str), err=True)

    @contextmanager
    def progress(self, title: str, unit: str) -> Iterator[Advance]:  # noqa: ARG002 - nobody watches
        """Draw nothing."""
        yield lambda _done, _share: None


def printer() -> Printer:
    """Return the printer of the running command."""
    found: Printer = click.get_current_context().meta.get(_KEY) or PeoplePrinter()
    return found


def _choose_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click calls it so
    if value:
        ctx.meta[_KEY] = JsonPrinter()


def json_option() -> click.Option:
    """Return `--json`."""
    return click.Option(
        ["--json", "as_json"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_choose_json,
        help="Print JSON on stdout, and errors as problem objects on stderr.",
    )


class Command(click.Command):
    """A command that also takes `--json`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(json_option())


class Group(click.Group):
    """A group whose commands take `--json`."""

    command_class = Command


def console() -> Console:
    """Return a console on stdout; wide enough for a table when it is no terminal."""
    made = Console()
    if not made.is_terminal:
        made.width = max(made.width, _WIDE)
    return made


def sentences(error: MailqueueError) -> Text:
    """Return an error as a person reads it: what, why, what to do."""
    text = Text()
    text.append(error.what, style="bold red")
    if isinstance(error, TemplateInvalid):
        for found in error.problems:
            text.append(f"\n  {found.part} line {found.line}: {found.what} {found.fix}".rstrip())
    elif error.why:
        text.append(f"\n{error.why}")
    for note in getattr(error, "__notes__", ()):
        text.append(f"\n{note}")
    if error.fix:
        text.append(f"\n{error.fix}", style="green")
    return text


def table(title: str, *columns: str) -> Table:
    """Return an empty table in the house style; a column named with a leading # is a number."""
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        name = column.removeprefix("#")
        made.add_column(name, justify="right" if column != name else "left", overflow="fold")
    return made


def facts(title: str, pairs: Mapping[str, object]) -> Table:
    """Return a two-column table of facts; absent ones are left out."""
    made = table(title, "", "")
    made.show_header = False
    for name, value in pairs.items():
        if value is not None:
            made.add_row(Text(name, style="dim"), Text(str(value)))
    return made
