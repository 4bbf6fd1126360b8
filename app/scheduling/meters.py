"""Every limit of an app on one page: what it allows, how much of it is used, when it is free again.

The limiter is asked and nothing is consumed. Where it does not know (its counts are cold, Redis is
away), accounts and quotas are counted in PostgreSQL, and minutes are not told.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.analytics import standing
from app.db.session import Session
from app.errors import DependencyUnavailable
from app.policy import pacing, throttle
from app.policy.limits import (
    AccountLimits,
    AccountQuota,
    AppLimits,
    Capacity,
    Gate,
    Limit,
    app_gate,
    domain_gate,
    global_gate,
    queue_gate,
)
from app.policy.rate_limits import RateLimiter
from app.policy.warmup import daily_limit, ramp
from app.sending.counted import recent_attempts, usage
from app.tenancy import apps, email_accounts, queues
from app.tenancy.apps import App
from app.tenancy.email_accounts import Account

_HOUR = dt.timedelta(minutes=61)  # as the limiter counts it
_MINUTES = {"global": Limit.GLOBAL, "app": Limit.APP, "queue": Limit.QUEUE, "domain": Limit.DOMAIN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One limit. `allows` None: not limited; `used` None: not known, or not counted (a gap).

    `level` is global, app, queue, account or domain, `name` which one of them. `free_at`: when the
    next mail may go, where none may now. `note`: a warm-up, an override, what a server said.
    """

    level: str
    name: str
    limit: Limit
    allows: int | None
    used: int | None = None
    free_at: dt.datetime | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Minute:
    """A limit of a sliding minute before it is read; no gate: not limited."""

    level: str
    name: str
    gate: Gate | None
    note: str | None = None


class MeterReader:
    """Reads the meters of apps at a moment."""

    def __init__(self, session: Session, limiter: RateLimiter, now: dt.datetime) -> None:
        self._session = session
        self._limiter = limiter
        self._now = now

    def read(self, app_id: UUID, global_per_minute: int | None) -> list[Meter]:
        """Return every limit of an app, from everything down to its domains; raises NotFound."""
        app = apps.get(self._session, app_id)
        name, limits = app.name, _app_limits(app)
        everything = global_gate(global_per_minute) if global_per_minute else None
        own = app_gate(app_id, limits.per_minute) if limits.per_minute else None
        above = [
            _Minute(level="global", name="all apps", gate=everything),
            _Minute(level="app", name=name, gate=own),
        ]
        return [
            *self._minutes(above),
            *self._quotas(name, app_id, limits),
            *self._minutes(self._queues(app_id)),
            *self._accounts(self._senders(app_id)),
            *self._minutes(self._domains(app_id)),
        ]

    # ---- minutes ------------------------------------------------------------------------------

    def _queues(self, app_id: UUID) -> list[_Minute]:
        return [
            _Minute(
                level="queue",
                name=queue.name,
                gate=queue_gate(queue.id, queue.per_minute) if queue.per_minute else None,
            )
            for queue in queues.list_all(self._session, app_id)
        ]

    def _domains(self, app_id: UUID) -> list[_Minute]:
        """Return the domains that are slowed or overridden now."""
        found = []
        for row in pacing.list_all(self._session, app_id):
            pace = throttle.pace(row, self._now)
            if pace is None:
                continue
            note = row.last_reply
            if row.override_per_minute == pace.per_minute:
                until = row.override_until
                note = f"overridden until {until:%Y-%m-%d %H:%M} UTC" if until else "overridden"
            gate = domain_gate(app_id, row.domain, pace.per_minute)
            found.append(_Minute(level="domain", name=row.domain, gate=gate, note=note))
        return found

    def _minutes(self, asked: Sequence[_Minute]) -> Iterator[Meter]:
        gates = [one.gate for one in asked if one.gate is not None]
        try:
            _, rooms = self._limiter.openings({}, gates, 0) if gates else ({}, {})
        except DependencyUnavailable:
            rooms = {}
        for one in asked:
            room = rooms.get(one.gate) if one.gate else None
            yield Meter(
                level=one.level,
                name=one.name,
                limit=_MINUTES[one.level],
                allows=one.gate.per_minute if one.gate else None,
                used=one.gate.per_minute - room.count if one.gate and room else None,
                free_at=_free_at(room),
                note=one.note,
            )

    # ---- quotas -------------------------------------------------------------------------------

    def _quotas(self, name: str, app_id: UUID, limits: AppLimits) -> Iterator[Meter]:
        counted = usage(self._session, app_id) if limits.has_quota else None
        asked = (
            (Limit.APP_DAY, limits.daily_quota, AppLimits(daily_quota=limits.daily_quota)),
            (Limit.APP_MONTH, limits.monthly_quota, AppLimits(monthly_quota=limits.monthly_quota)),
        )
        for limit, allows, alone in asked:
            used, free_at = None, None
            if counted is not None and allows is not None:
                used = counted.today if limit is Limit.APP_DAY else counted.this_month
                room = self._quota_room(app_id, alone)
                if room is not None:
                    used, free_at = max(used, allows - room.count), _free_at(room)
            yield Meter(
                level="app", name=name, limit=limit, allows=allows, used=used, free_at=free_at
            )

    def _quota_room(self, app_id: UUID, limits: AppLimits) -> Capacity | None:
        try:
            rooms, _ = self._limiter.openings({app_id: limits}, [], 0)
        except DependencyUnavailable:
            return None
        return None if rooms[app_id].is_cold else rooms[app_id]

    # ---- accounts -----------------------------------------------------------------------------

    def _senders(self, app_id: UUID) -> list[Account]:
        """Return the accounts of an app, those that are slowed with what they may send now."""
        judged = standing.senders(self._session, app_id)
        paces = {one.sender_id: one.per_hour for one in judged if one.per_hour}
        return [
            dataclasses.replace(
                one, hourly_limit=min(paces[one.id], one.hourly_limit or paces[one.id])
            )
            if one.id in paces
            else one
            for one in email_accounts.list_all(self._session, app_id)
        ]

    def _accounts(self, accounts: Sequence[Account]) -> Iterator[Meter]:
        today = self._now.date()
        days = {account.id: _of_day(account, today) for account in accounts}
        hours = self._peek({a.id: AccountLimits(hourly_limit=a.hourly_limit) for a in accounts})
        of_day = self._peek({a.id: AccountLimits(daily_limit=days[a.id]) for a in accounts})
        gaps = self._peek({a.id: AccountLimits(min_gap_ms=a.min_gap_ms) for a in accounts})
        for one in accounts:
            counts: Mapping[dt.datetime, int] = {}
            if one.hourly_limit is not None or days[one.id] is not None:
                counts = recent_attempts(self._session, one.app_id, one.id)
            since_hour = sum(n for at, n in counts.items() if at > self._now - _HOUR)
            since_midnight = sum(n for at, n in counts.items() if at.date() == today)
            meter = _AccountMeter(account=one)
            yield meter.counted(Limit.ACCOUNT_HOUR, one.hourly_limit, hours[one.id], since_hour)
            yield meter.counted(Limit.ACCOUNT_DAY, days[one.id], of_day[one.id], since_midnight)
            yield Meter(
                level="account",
                name=one.address,
                limit=Limit.ACCOUNT_GAP,
                allows=one.min_gap_ms or None,
                free_at=_free_at(gaps[one.id]) if one.min_gap_ms else None,
            )

    def _peek(self, limits: Mapping[UUID, AccountLimits]) -> dict[UUID, Capacity | None]:
        asked = [AccountQuota(account_id=key, limits=value) for key, value in limits.items()]
        try:
            found = self._limiter.peek(asked, 0)
        except DependencyUnavailable:
            return dict.fromkeys(limits)
        return {key: None if room.is_cold else room for key, room in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _AccountMeter:
    """Makes the meters of one account."""

    account: Account

    def counted(
        self, limit: Limit, allows: int | None, room: Capacity | None, counted: int
    ) -> Meter:
        """Return the meter of a limit by the limiter's room, or else by what PostgreSQL counted."""
        is_ramp = limit is Limit.ACCOUNT_DAY and self.account.warmup_started_on is not None
        if allows is None:
            return Meter(level="account", name=self.account.address, limit=limit, allows=None)
        return Meter(
            level="account",
            name=self.account.address,
            limit=limit,
            allows=allows,
            used=allows - room.count if room else counted,
            free_at=_free_at(room),
            note=f"warm-up since {self.account.warmup_started_on}" if is_ramp else None,
        )


def _app_limits(app: App) -> AppLimits:
    """Return what an app may send."""
    return AppLimits(
        per_minute=app.per_minute, daily_quota=app.daily_quota, monthly_quota=app.monthly_quota
    )


def _of_day(account: Account, today: dt.date) -> int | None:
    """Return what an account may send today, warm-up included."""
    columns = (account.warmup_started_on, account.warmup_daily_start, account.warmup_growth)
    return daily_limit(account.daily_limit, ramp(*columns), today)


def _free_at(room: Capacity | None) -> dt.datetime | None:
    return room.next_slot_at if room is not None and room.count <= 0 else None
