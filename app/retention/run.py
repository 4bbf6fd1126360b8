"""Retention as a whole: what would go and why, and letting it go. Joins the rooms that own the rows."""

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from psycopg.errors import QueryCanceled

from app.audit import AuditEntry, Author, record
from app.clock import monotonic_s
from app.db import partitions
from app.db.partitions import Month
from app.db.session import Session, exclusive, limited
from app.errors import Conflict
from app.lifecycle import retired
from app.queueing.dead_letter_rows import Choice
from app.retention import early, letters, months, sweeps
from app.retention.months import Departure, Fate
from app.retention.periods import Periods, cutoff
from app.retention.sweeps import Due

_LOCK = 0x6D61_696C_7265_7461  # "mailreta": one run per database
_LONGEST_BATCH = dt.timedelta(seconds=10)
_LONGEST_MONTH = dt.timedelta(minutes=20)  # to walk through a month, once, without any lock
_APPS = "SELECT id, settings FROM apps ORDER BY id"
_NAMES = "SELECT id, name FROM apps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One fact of a run or a dry run. `rows` None: not counted. `app` None: of no app, or of all."""

    table: str
    partition: str | None
    app: str | None
    rows: int | None
    size_bytes: int
    action: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who lets it go, where archives are written, and how long the run may take."""

    author: Author
    folder: Path
    rabbitmq_url: str
    longest: dt.timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    periods: Mapping[UUID, Periods]
    longest: Periods
    months: Sequence[Month]
    now: dt.datetime

    def edge(self, month: Month) -> dt.datetime:
        """Return the time before which months of this table leave."""
        days = self.longest.audit if month.parent == "audit_logs" else self.longest.emails
        return cutoff(self.now, max(days, partitions.SETTLED_DAYS))

    def is_over(self, month: Month) -> bool:
        """Tell whether every row of a month is past its time. A timeline goes after its mails."""
        if month.is_detached:
            return True
        return month.ends <= self.edge(month) and not self._has_mails(month)

    def _has_mails(self, month: Month) -> bool:
        if month.parent != "email_events":
            return False
        return any(
            other.parent == "emails" and other.starts == month.starts for other in self.months
        )

    def may_go_back(self) -> bool:
        """Tell whether a month of mails is out of its table and not dropped: it may hold some that wait."""
        return any(month.parent == "emails" and month.is_detached for month in self.months)

    def due(self) -> Iterator[Due]:
        """Yield what goes row by row."""
        return sweeps.due(self.periods, self.longest, self.now)


def _plan(session: Session, now: dt.datetime) -> _Plan:
    periods = {row[0]: Periods.of_app(row[1]) for row in session.execute(_APPS).fetchall()}
    return _Plan(
        periods=periods,
        longest=Periods.longest(periods.values()),
        months=partitions.months(session),
        now=now,
    )


def look(session: Session, now: dt.datetime) -> list[Line]:
    """Return what a run would do, and why: month by month, then app by app. Changes nothing."""
    plan = _plan(session, now)
    names = {row[0]: row[1] for row in session.execute(_NAMES).fetchall()}
    with limited(session, _LONGEST_MONTH):
        by_month = [_foreseen(session, plan, month) for month in plan.months]
        by_row = [_measured(session, each, names) for each in plan.due()]
    return [*by_month, *(line for line in by_row if line.rows)]


def _foreseen(session: Session, plan: _Plan, month: Month) -> Line:
    action, why, rows = "archive and drop", f"all of it is older than {plan.edge(month):%F}", None
    if month.is_detached:
        action, why = "archive and drop", "a run before took it out of its table"
    elif month.ends > plan.edge(month):
        leaves = month.ends + (plan.now - plan.edge(month))
        action, why = "keep", f"it leaves on {leaves:%F}"
    elif month.parent == "emails":
        counts = retired.count(session, month)
        rows = sum(counts.values())
        if waiting := retired.waiting(counts):
            is_late = month.ends + early.GRACE <= plan.edge(month)
            action, why = "thin out" if is_late else "keep", months.unfinished(waiting)
    elif not plan.is_over(month):
        why = "after its mails"
    return Line(
        table=month.parent,
        partition=month.name,
        app=None,
        rows=rows,
        size_bytes=month.size_bytes,
        action=action,
        why=why,
    )


def _measured(session: Session, each: Due, names: Mapping[UUID, str]) -> Line:
    found = each.measure(session)
    return Line(
        table=each.expiry.table,
        partition=None,
        app=names.get(each.app_id) if each.app_id else None,
        rows=found.rows,
        size_bytes=found.size_bytes,
        action="delete",
        why=f"kept for {each.days} days, until {each.until:%F}",
    )


def run(session: Session, now: dt.datetime, order: Order) -> list[Line]:
    """Let go what is past its time, as far as the order's time allows; return what was done.

    Safe to break off anywhere and to run again. Raises Conflict while another run is under way,
    DependencyUnavailable when an archive cannot be written.
    """
    ends_s = monotonic_s() + order.longest.total_seconds()
    with exclusive(session, _LOCK) as is_ours:
        if not is_ours:
            raise _under_way()
        lines = list(_months(session, now, order, ends_s))
        lines += _rows(session, now, order, ends_s)
        return lines + _letters(session, now, order)


def _months(session: Session, now: dt.datetime, order: Order, ends_s: float) -> Iterator[Line]:
    """Take the months that are over, mails before their timelines, until the time is over."""
    tried: set[str] = set()
    while monotonic_s() < ends_s:
        plan = _plan(session, now)
        month = next((m for m in plan.months if plan.is_over(m) and m.name not in tried), None)
        if month is None:
            return
        tried.add(month.name)
        with limited(session, _LONGEST_MONTH):
            gone = months.retire(session, month, order.folder)
            if gone.fate is Fate.WAITS and month.ends + early.GRACE <= plan.edge(month):
                gone = _thinned(session, gone, order, lambda: monotonic_s() >= ends_s)
        if gone.fate is Fate.DROPPED or gone.rows:
            record(session, _archived(gone, order))
        yield _departed(gone)


def _thinned(
    session: Session, waits: Departure, order: Order, is_over: Callable[[], bool]
) -> Departure:
    if waits.month.parent != "emails" or waits.month.is_detached:
        return waits
    rows = early.thin_out(session, waits.month, order.folder, is_over)
    why = f"{waits.why}; the others are archived and deleted"
    return dataclasses.replace(waits, fate=Fate.THINNED, rows=rows, why=why)


def _rows(session: Session, now: dt.datetime, order: Order, ends_s: float) -> list[Line]:
    names = {row[0]: row[1] for row in session.execute(_NAMES).fetchall()}
    totals: dict[UUID | None, dict[str, int]] = defaultdict(dict)
    lines: list[Line] = []
    plan = _plan(session, now)
    if plan.may_go_back():  # what its mails need would look like nobody's
        return lines
    with limited(session, _LONGEST_BATCH):
        for each in plan.due():
            try:
                deleted = each.delete(session, lambda: monotonic_s() >= ends_s)
            except QueryCanceled:  # the others have their turn
                lines.append(_too_slow(each, names))
                continue
            if deleted:
                totals[each.app_id][each.expiry.table] = deleted
                lines.append(_deleted(each, deleted, names))
    for app_id, tables in totals.items():
        record(session, _applied(app_id, tables, order))
    return lines


def _letters(session: Session, now: dt.datetime, order: Order) -> list[Line]:
    """Give up dead letters nobody decided about in their time; their rows go with a later run."""
    plan = _plan(session, now)
    longest = cutoff(now, plan.longest.emails)
    choices = [
        *(Choice(app_id=i, before=cutoff(now, own.emails)) for i, own in plan.periods.items()),
        Choice(before=longest),  # of no app
    ]
    discarded = letters.discard(session, order.rabbitmq_url, choices, order.author)
    if not discarded:
        return []
    why = "nobody decided about them while they were kept"
    return [
        Line(
            table="dead_letters",
            partition=None,
            app=None,
            rows=discarded,
            size_bytes=0,
            action="discarded",
            why=why,
        )
    ]


def _departed(gone: Departure) -> Line:
    return Line(
        table=gone.month.parent,
        partition=gone.month.name,
        app=None,
        rows=gone.rows,
        size_bytes=gone.month.size_bytes,
        action=str(gone.fate),
        why=gone.why,
    )


def _deleted(each: Due, deleted: int, names: Mapping[UUID, str]) -> Line:
    return Line(
        table=each.expiry.table,
        partition=None,
        app=names.get(each.app_id) if each.app_id else None,
        rows=deleted,
        size_bytes=0,
        action="deleted",
        why=f"kept for {each.days} days, until {each.until:%F}",
    )


def _too_slow(each: Due, names: Mapping[UUID, str]) -> Line:
    why = f"a batch took longer than {_LONGEST_BATCH.seconds} s; the next run tries again"
    return dataclasses.replace(_deleted(each, 0, names), action="broken off", why=why)


def _archived(gone: Departure, order: Order) -> AuditEntry:
    return AuditEntry(
        app_id=None,
        author=order.author,
        action="partition.archived",
        target_kind="partition",
        target_id=gone.month.name,
        after={"rows": gone.rows, "files": gone.files, "size_bytes": gone.month.size_bytes},
    )


def _applied(app_id: UUID | None, tables: Mapping[str, int], order: Order) -> AuditEntry:
    return AuditEntry(
        app_id=app_id,
        author=order.author,
        action="retention.applied",
        target_kind="app",
        target_id=app_id or "none",
        after=tables,
    )


def _under_way() -> Conflict:
    return Conflict(
        "Retention is running already.",
        why="The clock, or somebody else, started it; two runs would take the same rows.",
        fix="Wait for its end, or look at what is left: mailqueue retention run --dry-run",
    )
