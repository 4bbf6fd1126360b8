"""The command line `mailqueue`.

Exit codes: 0 done; 1 refused (invalid input, wrong state, not found); 2 wrong usage;
3 a dependency is away (PostgreSQL, RabbitMQ, Redis, SMTP); 4 the ledger does not add up.
"""

import sys
from typing import Any

import click

from app.cli.lazy import Entry, LazyGroup
from app.cli.output import JsonPrinter, json_option, printer
from app.errors import DependencyUnavailable, InputInvalid, LedgerOff, MailqueueError
from app.release import VERSION

_COMMANDS = {
    "init": Entry(target="app.cli.init:init", summary="Write .env with fresh secrets."),
    "settings": Entry(target="app.cli.settings:settings_", summary="Print or write .env.example."),
    "openapi": Entry(
        target="app.cli.openapi:openapi", summary="Print or write the contract of the HTTP API."
    ),
    "doctor": Entry(target="app.cli.doctor:doctor", summary="Check every dependency."),
    "migrate": Entry(target="app.cli.migrate:migrate", summary="Bring the database up to date."),
    "up": Entry(target="app.cli.processes:up", summary="Run every process, supervised."),
    "web": Entry(target="app.cli.processes:web", summary="Serve API and console."),
    "tracking": Entry(target="app.cli.processes:tracking", summary="Serve the tracking routes."),
    "clock": Entry(target="app.cli.processes:clock", summary="Tick; one leader, any standbys."),
    "worker": Entry(target="app.cli.processes:worker", summary="Run the stages' workers."),
    "inbound": Entry(
        target="app.cli.processes:inbound",
        summary="Take bounces and replies (SMTP), read mailboxes.",
    ),
    "inbox": Entry(target="app.cli.processes:inbox", summary="Catch mail in development."),
    "app": Entry(target="app.cli.apps:app_", summary="Tenants: create, list."),
    "user": Entry(target="app.cli.users:user", summary="People: create, list, disable, password."),
    "account": Entry(
        target="app.cli.accounts:account",
        summary="Senders: create, test, list, limits, pause, resume.",
    ),
    "mailbox": Entry(
        target="app.cli.mailboxes:mailbox",
        summary="Where answers to a sender arrive (IMAP): set, test, show, remove.",
    ),
    "limits": Entry(
        target="app.cli.limits:limits",
        summary="How fast mail may go: show, set app|queue|account|domain.",
    ),
    "reputation": Entry(
        target="app.cli.reputation:reputation",
        summary="How senders stand: show, release what is held.",
    ),
    "template": Entry(
        target="app.cli.templates:template", summary="Templates: save, check, list, show."
    ),
    "leads": Entry(target="app.cli.leads:leads", summary="Recipients: import a CSV."),
    "campaign": Entry(
        target="app.cli.campaigns:campaign",
        summary="Campaigns: create, start, pause, resume, go-on, cancel, send-rest, show.",
    ),
    "forecast": Entry(
        target="app.cli.forecast:forecast", summary="When a campaign's mails go, and what binds."
    ),
    "explain": Entry(target="app.cli.explain:explain", summary="Why a mail goes, waits or went."),
    "unknown": Entry(
        target="app.cli.unknown:unknown",
        summary="Mails whose reply was never seen: list, resend, assume-sent.",
    ),
    "dlq": Entry(target="app.cli.dlq:dlq", summary="Dead letters: list, show, retry, discard."),
    "bounce": Entry(
        target="app.cli.bounce:bounce", summary="Mails that came back: explain what they say."
    ),
    "ledger": Entry(target="app.cli.ledger:ledger", summary="Prove that every mail is accounted."),
    "retention": Entry(
        target="app.cli.retention:retention",
        summary="What is past its time: run, list archives, show one.",
    ),
    "epoch": Entry(
        target="app.cli.epoch:epoch", summary="After a restore: show, confirm that it may send."
    ),
}


class UsageRefused(InputInvalid):
    """The command line itself is wrong."""

    code = "usage"


def exit_code(error: MailqueueError) -> int:
    """Return the exit code an error ends the program with."""
    if isinstance(error, UsageRefused):
        return 2
    if isinstance(error, DependencyUnavailable):
        return 3
    return 4 if isinstance(error, LedgerOff) else 1


class Program(LazyGroup):
    """The whole command line: every expected error leaves as sentences and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command named on the command line."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if not isinstance(printer(), JsonPrinter):
                raise
            return _leave(ctx, UsageRefused(error.format_message()))
        except MailqueueError as error:
            return _leave(ctx, error)


def _leave(ctx: click.Context, error: MailqueueError) -> None:
    printer().fail(error)
    ctx.exit(exit_code(error))


program = Program(
    "mailqueue",
    entries=_COMMANDS,
    help="Schedules, assembles, sends and tracks e-mail; loses nothing, sends nothing twice.",
    epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 a dependency is away, "
    "4 the ledger does not add up.",
    params=[json_option()],
    context_settings={"help_option_names": ["-h", "--help"]},
)
program = click.version_option(VERSION)(program)


def main() -> None:
    """Run the program; the console script."""
    program.main(args=sys.argv[1:], prog_name="mailqueue")


if __name__ == "__main__":
    main()
