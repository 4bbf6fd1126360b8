"""Claiming deliveries and recording what became of them: two statements around the network.

Of one mail only its oldest open delivery to an endpoint is ever claimed, so an endpoint hears of a
mail in order; deliveries of different mails go side by side. An endpoint that does not answer
rests, and keeps nobody waiting but itself.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from app.db.session import Session, one
from app.secretbox import SecretBox
from app.webhooks import retries, signing
from app.webhooks.endpoints import place
from app.webhooks.retries import Reply

LEASE = dt.timedelta(minutes=10)  # longer than a worker's time for one message
_SERVED = dt.timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A claimed delivery: what is to be sent. `lease` names the claim."""

    id: UUID
    attempt: int
    body: bytes
    lease: dt.datetime

    @property
    def message_id(self) -> str:
        """Return the id the consumer sees, the same with every try."""
        return f"msg_{self.id.hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An endpoint that is being served; `secrets` are those valid now, newest first."""

    id: UUID
    url: str
    failures: int
    failing_since: dt.datetime | None
    secrets: tuple[str, ...] = field(repr=False)

    def headers(self, post: Post, now: dt.datetime) -> dict[str, str]:
        """Return the headers of a try at `now`."""
        signed = signing.headers(post.message_id, int(now.timestamp()), post.body, self.secrets)
        return {
            "Content-Type": "application/json",
            "User-Agent": "mailqueue-webhooks/1",
            **signed,
        }


# Endpoints with something due that nobody serves; taken for whoever gets the message.
_TAKE = """
UPDATE webhook_endpoints w SET served_until = %(now)s + %(served)s
WHERE w.status = 'active' AND coalesce(w.resting_until <= %(now)s, true)
  AND coalesce(w.served_until <= %(now)s, true)
  AND EXISTS (SELECT FROM webhook_deliveries d
              WHERE d.endpoint_id = w.id AND d.due_at <= %(now)s)
RETURNING w.id"""

_TARGET = """
SELECT id, app_id, url, failures, failing_since, secret_sealed,
       CASE WHEN previous_secret_until > %(now)s THEN previous_secret_sealed END
FROM webhook_endpoints
WHERE id = %(id)s AND status = 'active' AND coalesce(resting_until <= %(now)s, true)"""

_CLAIM = """
UPDATE webhook_deliveries SET lease_until = %(lease)s, due_at = %(lease)s, attempts = attempts + 1,
  attempted_at = %(now)s
WHERE id = ANY(ARRAY(
  SELECT d.id FROM webhook_deliveries d
  WHERE d.endpoint_id = %(endpoint)s AND d.due_at <= %(now)s
    AND NOT EXISTS (SELECT FROM webhook_deliveries earlier
                    WHERE earlier.endpoint_id = d.endpoint_id AND earlier.email_id = d.email_id
                      AND earlier.due_at IS NOT NULL AND earlier.event_id < d.event_id)
  ORDER BY d.due_at, d.event_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING id, attempts, payload, event_id"""

_RECORD = """
UPDATE webhook_deliveries SET status = %(status)s, due_at = %(due)s, lease_until = NULL,
  response_code = %(code)s, error = %(error)s, response_body = %(body)s,
  duration_ms = %(duration)s, request_headers = %(headers)s,
  delivered_at = CASE WHEN %(status)s = 'delivered' THEN %(now)s END
WHERE id = %(id)s AND lease_until = %(lease)s AND status = 'pending'"""

_GIVE_BACK = """
UPDATE webhook_deliveries SET due_at = %(now)s, lease_until = NULL, attempts = attempts - 1
WHERE id = ANY(%(ids)s) AND lease_until = %(lease)s AND status = 'pending'"""

_FAILED = """
UPDATE webhook_endpoints SET failures = greatest(failures, %(failures)s),
  failing_since = coalesce(failing_since, %(now)s), resting_until = %(rest)s
WHERE id = %(id)s"""

_ANSWERED = """
UPDATE webhook_endpoints SET failures = 0, failing_since = NULL, resting_until = NULL
WHERE id = %(id)s AND failures > 0"""

# It is back: what waits for its own next try need not wait any longer.
_HURRY = """
UPDATE webhook_deliveries SET due_at = %(now)s
WHERE endpoint_id = %(id)s AND due_at > %(now)s AND lease_until IS NULL"""

_PAUSE = """
UPDATE webhook_endpoints SET status = 'paused', pause_reason = %(reason)s
WHERE id = %(id)s AND status = 'active'"""


def take(session: Session, now: dt.datetime) -> list[UUID]:
    """Return the endpoints with due deliveries that no worker serves, and take them for two minutes."""
    rows = session.execute(_TAKE, {"now": now, "served": _SERVED}).fetchall()
    return [row[0] for row in rows]


def release(session: Session, endpoint_id: UUID) -> None:
    """Let the next worker serve the endpoint."""
    session.execute(
        "UPDATE webhook_endpoints SET served_until = NULL WHERE id = %s", (endpoint_id,)
    )


def target(session: Session, box: SecretBox, endpoint_id: UUID, now: dt.datetime) -> Target | None:
    """Return an endpoint that may be spoken to; None when it is paused, rests or is gone."""
    row = one(session, _TARGET, {"id": endpoint_id, "now": now})
    if row is None:
        return None
    where = place(row[0], row[1])
    secrets = tuple(box.open(sealed, **where) for sealed in row[5:7] if sealed is not None)
    return Target(id=row[0], url=row[2], failures=row[3], failing_since=row[4], secrets=secrets)


def claim(session: Session, endpoint_id: UUID, now: dt.datetime, limit: int) -> list[Post]:
    """Claim at most `limit` due deliveries, each of another mail, and return them oldest first."""
    lease = now + LEASE
    binds = {"endpoint": endpoint_id, "now": now, "lease": lease, "limit": limit}
    rows = session.execute(_CLAIM, binds).fetchall()
    return [
        Post(id=row[0], attempt=row[1], body=orjson.dumps(row[2]), lease=lease)
        for row in sorted(rows, key=lambda row: (row[3] or 0, row[0]))
    ]


def record(session: Session, endpoint: Target, post: Post, reply: Reply, now: dt.datetime) -> None:
    """Note what became of one try: delivered, to be tried again, or given up; and of its endpoint."""
    due_at = None if reply.is_success else retries.next_try(post.attempt, now)
    waits = due_at is not None
    binds: dict[str, Any] = {
        "id": post.id,
        "lease": post.lease,
        "status": "delivered" if reply.is_success else "pending" if waits else "failed",
        "due": due_at,
        "code": reply.code or None,
        "error": reply.error,
        "body": reply.body or None,
        "duration": reply.duration_ms,
        "headers": Jsonb(reply.headers),
        "now": now,
    }
    with session.transaction():
        session.execute(_RECORD, binds)
        _judge(session, endpoint, reply, now)


def give_back(session: Session, posts: Sequence[Post], now: dt.datetime) -> None:
    """Return claimed deliveries that were not tried."""
    if posts:
        binds = {"ids": [post.id for post in posts], "lease": posts[0].lease, "now": now}
        session.execute(_GIVE_BACK, binds)


def _judge(session: Session, endpoint: Target, reply: Reply, now: dt.datetime) -> None:
    binds = {"id": endpoint.id, "now": now}
    if reply.is_gone:
        reason = "the endpoint answered 410 Gone"
        session.execute(_PAUSE, binds | {"reason": reason})
    elif reply.is_endpoints_fault:
        failures = endpoint.failures + 1  # a round that fails counts once
        rest = retries.rest_until(failures, now)
        session.execute(_FAILED, binds | {"rest": rest, "failures": failures})
        since = endpoint.failing_since
        if since is not None and now - since >= retries.PAUSE_AFTER:
            reason = f"no delivery succeeded since {since:%Y-%m-%d %H:%M} UTC; last: {reply.error}"
            session.execute(_PAUSE, binds | {"reason": reason})
    elif endpoint.failures and session.execute(_ANSWERED, binds).rowcount:
        session.execute(_HURRY, binds)
