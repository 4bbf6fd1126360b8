"""What the limits say of one mail now: the question `explain` asks, put to the limiter."""

import datetime as dt

from app.db.session import Session
from app.errors import DependencyUnavailable
from app.lifecycle.explain import AskLimits
from app.lifecycle.gates import Facts, Opening
from app.policy import pacing
from app.policy.limits import (
    AccountLimits,
    AccountQuota,
    AppLimits,
    Capacity,
    Gate,
    app_gate,
    domain_gate,
    global_gate,
    queue_gate,
)
from app.policy.rate_limits import RateLimiter
from app.policy.warmup import ramp

_HORIZON_MS = 1_000


def asking(
    session: Session, limiter: RateLimiter, global_per_minute: int | None, now: dt.datetime
) -> AskLimits:
    """Return the question, bound to a limiter; it consumes nothing, None = Redis is away."""

    def ask(facts: Facts) -> Opening | None:
        account, app = _account_limits(facts, now.date()), _app_limits(facts)
        gates = _gates(session, facts, global_per_minute, now)
        quota = AccountQuota(account_id=facts["account_id"], limits=account)
        try:
            of_account = limiter.peek([quota], _HORIZON_MS)[quota.account_id]
            of_app, of_gates = limiter.openings({facts["app_id"]: app}, gates, _HORIZON_MS)
        except DependencyUnavailable:
            return None
        asked = {"the account": of_account}
        asked |= {f"the quota of app {key}": capacity for key, capacity in of_app.items()}
        asked |= {str(gate.limit): capacity for gate, capacity in of_gates.items()}
        return _opening(_words(account, app, gates), asked, now)

    return ask


def _account_limits(facts: Facts, today: dt.date) -> AccountLimits:
    full = AccountLimits(
        hourly_limit=facts["hourly_limit"],
        daily_limit=facts["daily_limit"],
        min_gap_ms=facts["min_gap_ms"],
    )
    columns = (facts["warmup_started_on"], facts["warmup_daily_start"], facts["warmup_growth"])
    return full.warmed(ramp(*columns), today)


def _app_limits(facts: Facts) -> AppLimits:
    return AppLimits(
        per_minute=facts["app_per_minute"],
        daily_quota=facts["daily_quota"],
        monthly_quota=facts["monthly_quota"],
    )


def _gates(
    session: Session, facts: Facts, global_per_minute: int | None, now: dt.datetime
) -> list[Gate]:
    app_id, domain = facts["app_id"], facts["to_domain"]
    found = [
        global_gate(global_per_minute) if global_per_minute else None,
        app_gate(app_id, facts["app_per_minute"]) if facts["app_per_minute"] else None,
        queue_gate(facts["queue_id"], facts["per_minute"]) if facts["per_minute"] else None,
    ]
    if pace := pacing.paces(session, app_id, now).get(domain):
        found.append(domain_gate(app_id, domain, pace.per_minute))
    return [gate for gate in found if gate is not None]


def _words(account: AccountLimits, app: AppLimits, gates: list[Gate]) -> str:
    limits = (
        (account.hourly_limit, "an hour and account"),
        (account.daily_limit, "today and account"),
        (account.min_gap_ms or None, "ms apart"),
        (app.daily_quota, "a day and app"),
        (app.monthly_quota, "a month and app"),
        *((gate.per_minute, f"a minute ({gate.limit})") for gate in gates),
    )
    return ", ".join(f"{n:,} {unit}" for n, unit in limits if n is not None) or "not limited"


def _opening(value: str, asked: dict[str, Capacity], now: dt.datetime) -> Opening:
    """Name the limit that opens last. A cold account tells with its first reservation."""
    full = {name: capacity for name, capacity in asked.items() if capacity.count <= 0}
    if not full:
        return Opening(may_go=True, value=value)
    binding = max(full, key=lambda name: full[name].next_slot_at)
    next_at = max(full[binding].next_slot_at, now)
    return Opening(may_go=False, value=value, binding=binding, next_at=next_at)
