"""`mailqueue limits`: every limit of an app with its use, and how to change it while mail goes out."""

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NotRequired, TypedDict, Unpack

import click
from rich.console import RenderableType

from app.cli.context import CLI, app_option, chosen_app, database
from app.cli.output import Group, printer, table
from app.clock import utc_now
from app.config import settings
from app.db.session import Session
from app.errors import InputInvalid
from app.policy import pacing
from app.policy.pacing import Override
from app.policy.rate_limits import RateLimiter
from app.scheduling.meters import Meter, MeterReader
from app.tenancy import apps, email_accounts, queues
from app.tenancy.apps import App
from app.tenancy.email_accounts import Account

_SENTENCES = {
    "global": "a minute",
    "app": "a minute",
    "app_day": "a day (UTC)",
    "app_month": "a month (UTC)",
    "queue": "a minute",
    "account_hour": "in any 60 minutes",
    "account_day": "a day (UTC)",
    "account_gap": "ms apart",
    "domain": "a minute",
}
_NO_LIMIT = {"hourly_limit": None, "daily_limit": None, "min_gap_ms": 0}
_NONE = click.IntRange(0)  # 0 takes a limit away


class AppOptions(TypedDict):
    """What `limits set app` is given."""

    per_minute: NotRequired[int | None]
    daily_quota: NotRequired[int | None]
    monthly_quota: NotRequired[int | None]


class AccountOptions(TypedDict):
    """What `limits set account` is given."""

    hourly_limit: NotRequired[int | None]
    daily_limit: NotRequired[int | None]
    min_gap_ms: NotRequired[int | None]
    warm_up_start: NotRequired[int | None]
    warm_up_growth: NotRequired[str | None]


@click.group(cls=Group)
def limits() -> None:
    """How fast mail may go: over all apps, by app, queue, account and recipient domain."""


@limits.command()
@app_option
def show(app_name: str | None) -> None:
    """Show every limit of an app, how much of it is used, and when it is free again."""
    with database() as session:
        _show(session, chosen_app(session, app_name))


@limits.group("set", cls=Group)
def set_() -> None:
    """Change limits, also while campaigns run; only what is said is changed, 0 takes a limit away."""


@set_.command("app")
@app_option
@click.option("--per-minute", type=_NONE, help="Mails in any minute.")
@click.option("--daily-quota", type=_NONE, help="Mails in a day (UTC).")
@click.option("--monthly-quota", type=_NONE, help="Mails in a month (UTC).")
def set_app(app_name: str | None, **given: Unpack[AppOptions]) -> None:
    """Change what the whole app may send."""
    said = _said(given)
    with database() as session:
        app = chosen_app(session, app_name)
        wanted: dict[str, Any] = {name: value or None for name, value in said.items()}
        _show(session, apps.update(session, dataclasses.replace(app, **wanted), CLI))


@set_.command("queue")
@app_option
@click.argument("name")
@click.option("--per-minute", type=_NONE, required=True, help="Mails in any minute.")
def set_queue(app_name: str | None, name: str, per_minute: int) -> None:
    """Change what a queue may send."""
    with database() as session:
        app = chosen_app(session, app_name)
        queue = queues.get_by_name(session, app.id, name)
        wanted = dataclasses.replace(queue, per_minute=per_minute or None)
        queues.update(session, wanted, CLI)
        _show(session, app)


@set_.command("account")
@app_option
@click.argument("address")
@click.option("--hourly-limit", type=_NONE, help="Mails in any 60 minutes.")
@click.option("--daily-limit", type=_NONE, help="Mails in a day (UTC).")
@click.option("--min-gap-ms", type=_NONE, help="Time between two mails, at least.")
@click.option("--warm-up-start", type=_NONE, help="Warm up from today with so many mails a day.")
@click.option("--warm-up-growth", metavar="FACTOR", help="Times so much every day.  [default: 1.3]")
def set_account(app_name: str | None, address: str, **given: Unpack[AccountOptions]) -> None:
    """Change what a sender may send."""
    said = _said(given)
    with database() as session:
        app = chosen_app(session, app_name)
        account = email_accounts.get_by_address(session, app.id, address)
        wanted: dict[str, Any] = {
            name: said[name] or _NO_LIMIT[name] for name in said.keys() & _NO_LIMIT
        }
        if said.keys() - _NO_LIMIT:
            wanted |= _ramp(account, said)
        email_accounts.update(session, dataclasses.replace(account, **wanted), CLI)
        _show(session, app)


@set_.command("domain")
@app_option
@click.argument("domain")
@click.option("--per-minute", type=_NONE, required=True, help="Mails in any minute; 0 = automatic.")
@click.option("--connections", type=int, help="At once, of each sender.  [default: 2]")
@click.option("--hours", type=click.FloatRange(min=0.01, max=8760), help="End it after so long.")
def set_domain(
    app_name: str | None,
    domain: str,
    per_minute: int,
    connections: int | None,
    hours: float | None,
) -> None:
    """Choose the pace of a recipient domain yourself, instead of following its servers' replies."""
    until = utc_now() + dt.timedelta(hours=hours) if hours and per_minute else None
    wanted = Override(per_minute=per_minute or None, connections=connections, until=until)
    if not per_minute:
        wanted = Override(per_minute=None)
    with database() as session:
        app = chosen_app(session, app_name)
        pacing.override(session, app.id, domain, wanted, CLI)
        _show(session, app)


def _said(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given; raises InputInvalid when there are none."""
    said = {name: value for name, value in given.items() if value is not None}
    if not said:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputInvalid("Nothing was said to change.", fix=f"Say at least one of {names}.")
    return said


def _ramp(account: Account, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the warm-up that is wanted; one that runs keeps its first day."""
    start = said.get("warm_up_start", account.warmup_daily_start)
    if start == 0:
        return dict.fromkeys(("warmup_started_on", "warmup_daily_start", "warmup_growth"))
    if start is None:
        raise InputInvalid(
            "The account is not warmed up.", fix="Say --warm-up-start, too.", field="warm_up_growth"
        )
    growth = said.get("warm_up_growth", str(account.warmup_growth or "1.3"))
    try:
        factor = Decimal(growth)
    except ArithmeticError as error:
        raise InputInvalid(
            f"{growth!r} is no number.", fix="Write it as 1.3.", field="warm_up_growth"
        ) from error
    return {
        "warmup_started_on": account.warmup_started_on or utc_now().date(),
        "warmup_daily_start": start,
        "warmup_growth": factor,
    }


def _show(session: Session, app: App) -> None:
    now = settings()
    with contextlib.closing(RateLimiter(now.redis_url)) as limiter:
        reader = MeterReader(session, limiter, utc_now())
        found = reader.read(app.id, now.global_per_minute or None)
    printer().show([facts_of(meter) for meter in found], _shown)


def facts_of(meter: Meter) -> dict[str, Any]:
    """Return what is shown of a meter."""
    free_at = meter.free_at.isoformat(timespec="seconds") if meter.free_at else None
    return dataclasses.asdict(meter) | {"limit": str(meter.limit), "free_at": free_at}


def _shown(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    listed = table("Limits", "level", "of", "#mails", "", "#used", "free again (UTC)", "note")
    for one in found:
        allows, used = one["allows"], one["used"]
        listed.add_row(
            one["level"],
            one["name"],
            f"{allows:,}" if allows is not None else "-",
            _SENTENCES[one["limit"]],
            f"{used:,}" if used is not None else "",
            (one["free_at"] or "")[:19].replace("T", " "),
            one["note"] or "",
        )
    return listed
