"""Which e-mails go next: exact priorities, fair over apps, as many as the stages and slots take.

RabbitMQ has three lanes and no fairness; both are exact here because only what the stages work
off in a few seconds is ever released (DESIGN 10).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.db.session import Row, Session
from app.policy import standing
from app.policy.limits import AccountLimits, AppLimits
from app.policy.warmup import WarmUp, ramp


@dataclass(frozen=True, slots=True, kw_only=True)
class DueAccount:
    """An active account with due e-mails, the priorities they have, and its limits.

    `is_probing`: its server's breaker is not closed, so it may have one mail, which is the probe.
    """

    account_id: UUID
    app_id: UUID
    priorities: tuple[int, ...]
    hourly_limit: int | None
    daily_limit: int | None
    min_gap_ms: int
    ramp: WarmUp | None
    app_limits: AppLimits
    is_probing: bool

    def limits(self, on: dt.date) -> AccountLimits:
        """Return the limits of the UTC day `on`, warm-up included."""
        full = AccountLimits(
            hourly_limit=self.hourly_limit,
            daily_limit=self.daily_limit,
            min_gap_ms=self.min_gap_ms,
        )
        return full.warmed(self.ramp, on)


class Pick(NamedTuple):
    """One due e-mail, locked by this transaction, with what decides its way: a row of `_PICK`.

    Mails whose messages have one `look` differ in their recipients only. A tuple, because each mail
    is one: a frozen dataclass of 16 fields takes 3 us to make.
    """

    email_id: UUID
    app_id: UUID
    queue_id: UUID
    account_id: UUID
    template_version_id: UUID
    campaign_id: UUID | None
    step_id: UUID | None
    lead_id: UUID | None
    message_id: UUID | None
    look: str | None
    priority: int
    due_at: dt.datetime
    window_closes_at: dt.datetime | None
    expires_at: dt.datetime | None
    to_domain: str
    starts: int


# Distinct (account, priority) pairs that hold scheduled mail, by skipping through emails_due: two
# index probes per pair, however many mails it holds. Then those with something due.
_DUE_ACCOUNTS = f"""
WITH RECURSIVE pair AS (
  (SELECT account_id, priority FROM emails WHERE due_at IS NOT NULL
   ORDER BY account_id, priority DESC LIMIT 1)
  UNION ALL
  SELECT next.account_id, next.priority FROM pair p CROSS JOIN LATERAL (
    SELECT * FROM (
      (SELECT account_id, priority FROM emails
       WHERE due_at IS NOT NULL AND account_id = p.account_id AND priority < p.priority
       ORDER BY account_id, priority DESC LIMIT 1)
      UNION ALL
      (SELECT account_id, priority FROM emails
       WHERE due_at IS NOT NULL AND account_id > p.account_id
       ORDER BY account_id, priority DESC LIMIT 1)) either
    ORDER BY account_id, priority DESC LIMIT 1) next)
SELECT a.id, a.app_id, array_agg(pair.priority ORDER BY pair.priority DESC),
       {standing.HOURLY_LIMIT}, a.daily_limit, a.min_gap_ms, a.warmup_started_on,
       a.warmup_daily_start, a.warmup_growth, {standing.APP_PER_MINUTE}, apps.daily_quota, apps.monthly_quota,
       coalesce(b.phase <> 'closed', false)
FROM pair JOIN email_accounts a ON a.id = pair.account_id JOIN apps ON apps.id = a.app_id
LEFT JOIN smtp_breakers b ON b.smtp_config_id = a.smtp_config_id
{standing.OF_ACCOUNT} {standing.OF_APP}
WHERE a.status = 'active' AND apps.status = 'active' AND {standing.IS_FREE}
  AND (b.probe_at IS NULL OR b.probe_at <= now())
  AND EXISTS (SELECT FROM emails e WHERE e.account_id = pair.account_id
              AND e.priority = pair.priority AND e.due_at <= now())
GROUP BY a.id, apps.id, ra.sender_id, rp.sender_id, b.phase ORDER BY a.id"""  # noqa: S608 - constants


def accounts(session: Session) -> list[DueAccount]:
    """Return the active accounts that have due e-mails (index emails_due, skip scan).

    Those whose server's breaker is open are left out until its probe is due, and those that are
    held until a person releases them.
    """
    return [_account(row) for row in session.execute(_DUE_ACCOUNTS).fetchall()]


# Ten probes of emails_due for each account.
_OF_ACCOUNTS = f"""
SELECT a.id, a.app_id, held.priorities,
       {standing.HOURLY_LIMIT}, a.daily_limit, a.min_gap_ms, a.warmup_started_on,
       a.warmup_daily_start, a.warmup_growth, {standing.APP_PER_MINUTE}, apps.daily_quota, apps.monthly_quota,
       coalesce(b.phase <> 'closed', false)
FROM email_accounts a JOIN apps ON apps.id = a.app_id
LEFT JOIN smtp_breakers b ON b.smtp_config_id = a.smtp_config_id
{standing.OF_ACCOUNT} {standing.OF_APP}
CROSS JOIN LATERAL (
  SELECT array_agg(p ORDER BY p DESC) AS priorities FROM generate_series(1, 10) AS p
  WHERE EXISTS (SELECT FROM emails e WHERE e.account_id = a.id AND e.priority = p
                AND e.due_at <= now())) held
WHERE a.id = ANY(%s) AND a.status = 'active' AND apps.status = 'active' AND {standing.IS_FREE}
  AND (b.probe_at IS NULL OR b.probe_at <= now()) AND held.priorities IS NOT NULL
ORDER BY a.id"""  # noqa: S608 - constants


def accounts_among(session: Session, account_ids: Sequence[UUID]) -> list[DueAccount]:
    """Return those of these accounts that have due e-mails and may send (index emails_due)."""
    rows = session.execute(_OF_ACCOUNTS, (list(account_ids),)).fetchall()
    return [_account(row) for row in rows]


def _account(row: Row) -> DueAccount:
    return DueAccount(
        account_id=row[0],
        app_id=row[1],
        priorities=tuple(row[2]),
        hourly_limit=row[3],
        daily_limit=row[4],
        min_gap_ms=row[5],
        ramp=ramp(row[6], row[7], row[8]),
        app_limits=AppLimits(per_minute=row[9], daily_quota=row[10], monthly_quota=row[11]),
        is_probing=row[12],
    )


def limited_queues(session: Session, app_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the mails a minute of each queue of these apps that has a limit."""
    query = "SELECT id, per_minute FROM queues WHERE app_id = ANY(%s) AND per_minute IS NOT NULL"
    return dict(session.execute(query, (list(app_ids),)).fetchall())


# What a message's mails have in common with those of another message: all that its row says, but
# for the one recipient in To, who stands in the e-mail, too. Files make a message one of its kind.
_LOOK = """
SELECT CASE WHEN EXISTS (SELECT FROM message_attachments a WHERE a.message_id = m.id)
  THEN m.id::text
  ELSE md5(concat_ws(chr(1), m.is_simulated, coalesce(m.tracks_opens, true),
    coalesce(m.tracks_clicks, true), m.unsubscribe, m.headers,
    CASE WHEN m.recipients = 1 AND coalesce(m.addressing->'cc', '[]') = '[]'
        AND jsonb_array_length(coalesce(m.addressing->'to', '[]')) <= 1
      THEN m.addressing - 'to' ELSE m.addressing END)) END
FROM messages m WHERE m.id = w.message_id"""

# Priority over everything, then round-robin over apps; an account gets at most its room.
_PICK = f"""
SELECT id, app_id, queue_id, account_id, template_version_id, campaign_id, step_id, lead_id,
       message_id, ({_LOOK}), priority, due_at, window_closes_at, expires_at, to_domain, starts
FROM (
  SELECT q.*, a.room,
    row_number() OVER (PARTITION BY q.account_id ORDER BY q.priority DESC, q.due_at, q.id) AS slot,
    row_number() OVER (PARTITION BY q.app_id, q.priority ORDER BY q.due_at, q.id) AS turn
  FROM unnest(%(accounts)s::uuid[], %(priorities)s::int[], %(rooms)s::int[])
       AS a(account_id, priority, room)
  CROSS JOIN LATERAL (
    SELECT id, app_id, queue_id, account_id, template_version_id, campaign_id, step_id, lead_id,
           message_id, priority, due_at, window_closes_at, expires_at, to_domain, starts
    FROM emails WHERE account_id = a.account_id AND priority = a.priority AND due_at <= now()
    ORDER BY due_at, id LIMIT a.room FOR UPDATE SKIP LOCKED) q) w
WHERE slot <= room ORDER BY priority DESC, turn, app_id LIMIT %(limit)s"""  # noqa: S608 - constants


def pick(
    session: Session, due: Sequence[DueAccount], rooms: Mapping[UUID, int], limit: int
) -> list[Pick]:
    """Lock at most `limit` due e-mails, at most `rooms[account]` of each account.

    Ordered by priority, then in turns over apps. Another pass at the same moment gets other rows
    (SKIP LOCKED). Call inside a transaction; one range of emails_due per account and priority.
    """
    open_accounts = [account for account in due if rooms.get(account.account_id, 0) > 0]
    if not open_accounts or limit <= 0:
        return []
    pairs = [(a.account_id, p, rooms[a.account_id]) for a in open_accounts for p in a.priorities]
    share = max(50, 2 * limit // len(pairs))
    binds = {
        "accounts": [pair[0] for pair in pairs],
        "priorities": [pair[1] for pair in pairs],
        "rooms": [min(pair[2], share, limit) for pair in pairs],
        "limit": limit,
    }
    return list(map(Pick._make, session.execute(_PICK, binds).fetchall()))
