"""Why a mail goes, waits or went: every gate in the order of the pipeline, asked now (DESIGN 8).

A gate has its value, who set it (the last entry of the audit log), its verdict, and when it opens
next. Of a mail with an end the row and its timeline are told instead. The gates stand in
app/lifecycle/gates; the limits are asked by the caller, because this floor knows no Redis.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import dict_row

from app.db.session import Session
from app.errors import NotFound
from app.lifecycle import epoch as epochs
from app.lifecycle import gates
from app.lifecycle.events import TimelineEvent, timeline
from app.lifecycle.gates import GATES, TARGETS, Facts, Gate, Opening, Verdict, next_time
from app.lifecycle.states import WAITING, State
from app.lifecycle.transitions import STAGED

AskLimits = Callable[[Facts], Opening | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One mail: its state, one sentence, its gates, when it may go next, and what happened."""

    email_id: UUID
    state: State
    sentence: str
    facts: Facts
    gates: tuple[Gate, ...]
    next_at: dt.datetime | None
    timeline: tuple[TimelineEvent, ...]


_MAIL = """
SELECT e.id, e.app_id, apps.daily_quota, apps.monthly_quota,
       least(apps.per_minute, (rp.per_hour + 59) / 60) AS app_per_minute,
       e.status, e.reason, e.to_hash, e.to_domain, e.priority, e.attempt, e.starts,
       e.fence, e.lease_until, e.claimed_by, e.queued_at, e.claimed_at, e.sent_at, e.smtp_code,
       e.window_closes_at, e.expires_at, e.created_at, e.campaign_id, e.queue_id, e.account_id,
       e.due_at = 'infinity' AND e.reason IS DISTINCT FROM %(staged)s AS is_parked,
       e.due_at = 'infinity' AND e.reason = %(staged)s AS is_staged, g.phase AS stage_phase,
       g.size AS stage_size, g.percent AS stage_percent, g.reason AS stage_reason,
       g.watched_from + g.wait_s * interval '1 s' AS stage_until, CASE WHEN e.due_at < 'infinity' THEN e.due_at END AS due_at,
       apps.name AS app_name, apps.status AS app_status,
       c.name AS campaign_name, c.status AS campaign_status, c.window_days, c.window_start,
       c.window_end, q.name AS queue_name, q.status AS queue_status, q.per_minute,
       q.retry_delays_s, q.max_deferral_age_s, q.on_unknown,
       a.address, a.status AS account_status, a.daily_limit, a.min_gap_ms,
       least(a.hourly_limit, ra.per_hour) AS hourly_limit, ra.level AS account_level,
       ra.reason AS account_reason, ra.per_hour AS account_per_hour, rp.level AS app_level,
       rp.reason AS app_reason, rp.per_hour AS app_per_hour,
       a.warmup_started_on, a.warmup_daily_start, a.warmup_growth,
       s.id AS smtp_id, s.host, s.port,
       b.phase AS breaker_phase, b.probe_at AS breaker_probe_at, b.reason AS breaker_reason,
       (SELECT x.reason FROM suppression_list x WHERE x.email_hash = e.to_hash
        AND (x.app_id = e.app_id OR x.app_id IS NULL)
        AND (x.expires_at IS NULL OR x.expires_at > now()) LIMIT 1) AS suppressed
FROM emails e
LEFT JOIN apps ON apps.id = e.app_id
LEFT JOIN campaigns c ON c.id = e.campaign_id
LEFT JOIN campaign_stages g ON g.campaign_id = e.campaign_id
LEFT JOIN queues q ON q.id = e.queue_id
LEFT JOIN email_accounts a ON a.id = e.account_id
LEFT JOIN smtp_configs s ON s.id = a.smtp_config_id
LEFT JOIN smtp_breakers b ON b.smtp_config_id = s.id
LEFT JOIN app_reputation ra ON ra.sender_id = e.account_id
LEFT JOIN app_reputation rp ON rp.sender_id = e.app_id
WHERE e.id = %(id)s"""

# The last entry of each thing the gates read (index audit_logs_app_id_id).
_AUTHORS = """
SELECT DISTINCT ON (target_id) target_id, actor, action, created_at FROM audit_logs
WHERE app_id = %(app)s AND target_id = ANY(%(targets)s) ORDER BY target_id, id DESC"""


def explain(
    session: Session, email_id: UUID, *, ask_limits: AskLimits, now: dt.datetime
) -> Explanation:
    """Return why the mail is where it is and when it may go; raises NotFound."""
    cursor = session.cursor(row_factory=dict_row)
    facts = cursor.execute(_MAIL, {"id": email_id, "staged": STAGED}).fetchone()
    if facts is None:
        raise NotFound(f"There is no e-mail {email_id}.", field="email_id")
    state = State(facts["status"])
    found = _gates(session, facts, ask_limits, now) if state in WAITING else ()
    lines = tuple(timeline(session, email_id))
    return Explanation(
        email_id=email_id,
        state=state,
        sentence=_sentence(state, facts, found),
        facts=facts,
        gates=found,
        next_at=next_time(found),
        timeline=lines,
    )


def _gates(
    session: Session, facts: Facts, ask_limits: AskLimits, now: dt.datetime
) -> tuple[Gate, ...]:
    found = [_epoch(session), *(gate(facts, now) for gate in GATES)]
    found.insert(found.index(_named(found, "account")) + 1, gates.limits(ask_limits(facts)))
    authors = _authors(session, facts)
    return tuple(_signed(gate, authors.get(TARGETS.get(gate.name, ""))) for gate in found)


def _named(found: list[Gate], name: str) -> Gate:
    return next(gate for gate in found if gate.name == name)


def _epoch(session: Session) -> Gate:
    epoch = epochs.read(session)
    if epoch is not None and epoch.reason is not None:
        return Gate(name="restore", value=epoch.reason, verdict=Verdict.WAIT)
    return Gate(name="restore", value="this database may send", verdict=Verdict.PASS)


def _authors(session: Session, facts: Facts) -> dict[str, str]:
    """Return who touched each thing last, by the column that names it."""
    columns = {name: str(facts[name]) for name in set(TARGETS.values()) if facts[name]}
    binds = {"app": facts["app_id"], "targets": list(columns.values())}
    said = {
        row[0]: f"{row[1]}, {row[2]} {row[3]:%Y-%m-%d %H:%M} UTC"
        for row in session.execute(_AUTHORS, binds).fetchall()
    }
    return {name: said[target] for name, target in columns.items() if target in said}


def _signed(gate: Gate, author: str | None) -> Gate:
    return Gate(
        name=gate.name,
        value=gate.value,
        verdict=gate.verdict,
        set_by=author,
        next_at=gate.next_at,
    )


def _sentence(state: State, facts: Facts, asked: tuple[Gate, ...]) -> str:
    reason = f": {facts['reason']}" if facts["reason"] else ""
    match state:
        case State.SCHEDULED | State.QUEUED | State.SENDING:
            return _waiting_sentence(state, asked)
        case State.SENT:
            at = f"{facts['sent_at']:%Y-%m-%d %H:%M:%S} UTC" if facts["sent_at"] else "some time"
            return f"Accepted by the server at {at} (attempt {facts['attempt']}); not bounced."
        case State.UNKNOWN:
            return (
                f"It is unknown whether it was sent{reason}. "
                f"The queue's policy is {facts['on_unknown']}."
            )
        case _:
            return f"{state.capitalize()}{reason}."


def _waiting_sentence(state: State, asked: tuple[Gate, ...]) -> str:
    stops = [gate for gate in asked if gate.verdict is Verdict.STOP]
    waits = [gate for gate in asked if gate.verdict is Verdict.WAIT]
    if stops:
        return f"{state.capitalize()}, and will not be sent: {stops[0].value}."
    if not waits:
        return f"{state.capitalize()}; every gate is open."
    names = ", ".join(gate.name for gate in waits)
    return f"{state.capitalize()}; it waits for: {names}."
