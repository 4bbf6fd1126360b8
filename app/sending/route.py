"""The way a mail leaves: the account it is sent from, the server, the limits, the retry policy."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from app.db.session import Session
from app.errors import NotFound
from app.policy import pacing
from app.policy.limits import AccountLimits, AppLimits
from app.policy.throttle import Pace
from app.policy.warmup import WarmUp, ramp
from app.secretbox import SecretBox
from app.smtp.breaker import Breaker, Phase
from app.smtp.connection import Security, Server


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How a queue treats deferrals: wait `delays_s[n]` after attempt n + 1.

    When the delays are used up the mail fails, unless `max_age_s` is set: then the last delay
    repeats until the mail is that old.
    """

    delays_s: tuple[int, ...]
    max_age_s: int | None


_LIMITS = (
    "hourly_limit",
    "daily_limit",
    "min_gap_ms",
    "ramp",
    "queue_per_minute",
    "app_limits",
    "paces",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """All that sending one chunk needs to know about its account, queue and server."""

    account_id: UUID
    app_id: UUID
    queue_id: UUID
    address: str
    server: Server
    server_id: UUID
    server_name: str
    breaker: Breaker
    hourly_limit: int | None
    daily_limit: int | None
    min_gap_ms: int
    queue_per_minute: int | None
    micro_batch: int
    policy: RetryPolicy
    is_open: bool
    ramp: WarmUp | None
    app_limits: AppLimits
    paces: Mapping[str, Pace]  # of recipient domains that are slowed now

    def limits(self, on: dt.date) -> AccountLimits:
        """Return the account's limits of the UTC day `on`, warm-up included."""
        full = AccountLimits(
            hourly_limit=self.hourly_limit,
            daily_limit=self.daily_limit,
            min_gap_ms=self.min_gap_ms,
        )
        return full.warmed(self.ramp, on)

    def has_limits_of(self, other: "Route") -> bool:
        """Tell whether both routes have the same limits."""
        return all(getattr(self, name) == getattr(other, name) for name in _LIMITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the process adds to every route: how to open secrets, whom it may connect to."""

    secretbox: SecretBox
    helo: str
    allowed_networks: tuple[str, ...]


_ROUTE = """
SELECT a.app_id, a.address, s.id, s.host, s.port, s.security, s.username, s.password_sealed,
       s.connections, a.hourly_limit, a.daily_limit, a.min_gap_ms,
       q.per_minute, q.micro_batch, q.retry_delays_s, q.max_deferral_age_s,
       a.status = 'active' AND q.status <> 'paused' AND apps.status = 'active' AS is_open,
       a.warmup_started_on, a.warmup_daily_start, a.warmup_growth,
       apps.per_minute, apps.daily_quota, apps.monthly_quota, now(),
       s.name, coalesce(b.phase, 'closed'), coalesce(b.failures, 0), coalesce(b.successes, 0),
       b.probe_at, b.reason
FROM email_accounts a JOIN smtp_configs s ON s.id = a.smtp_config_id JOIN apps ON apps.id = a.app_id
LEFT JOIN smtp_breakers b ON b.smtp_config_id = s.id
JOIN queues q ON q.id = %(queue)s AND q.app_id = a.app_id
WHERE a.id = %(account)s"""


def load(session: Session, account_id: UUID, queue_id: UUID, around: Surroundings) -> Route:
    """Return the route of an account through a queue; raises NotFound when either is gone."""
    row = session.execute(_ROUTE, {"account": account_id, "queue": queue_id}).fetchone()
    if row is None:
        raise NotFound(
            f"E-mail account {account_id} or queue {queue_id} does not exist.",
            why="It was deleted while its mail was on the way.",
            fix="Create it again or cancel the mail.",
        )
    password = None
    if row[7] is not None:
        password = around.secretbox.open(
            row[7], table="smtp_configs", column="password_sealed", row_id=row[2], app_id=row[0]
        )
    server = Server(
        host=row[3],
        port=row[4],
        security=Security(row[5]),
        username=row[6],
        password=password,
        helo=around.helo,
        connections=row[8],
        allowed_networks=around.allowed_networks,
    )
    return Route(
        account_id=account_id,
        app_id=row[0],
        queue_id=queue_id,
        address=row[1],
        server=server,
        server_id=row[2],
        server_name=row[24],
        breaker=Breaker(
            phase=Phase(row[25]),
            failures=row[26],
            successes=row[27],
            probe_at=row[28],
            reason=row[29],
        ),
        hourly_limit=row[9],
        daily_limit=row[10],
        min_gap_ms=row[11],
        queue_per_minute=row[12],
        micro_batch=row[13],
        policy=RetryPolicy(delays_s=tuple(row[14]), max_age_s=row[15]),
        is_open=row[16],
        ramp=ramp(row[17], row[18], row[19]),
        app_limits=AppLimits(per_minute=row[20], daily_quota=row[21], monthly_quota=row[22]),
        paces=pacing.paces(session, row[0], row[23]),
    )
