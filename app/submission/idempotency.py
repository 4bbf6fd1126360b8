"""`Idempotency-Key`: the same POST twice has one effect and one answer.

`begin` claims the key inside the transaction that makes the e-mail, `finish` stores the answer
there: both are committed or neither is. The lock of a request under way is the uncommitted row
itself, held by its connection: a twin waits a few seconds for its answer, and when the process or
the machine of the first one dies, PostgreSQL rolls its row back and the twin does the work. No
crashed key has to be taken over.

A handler that must not hold a transaction (it talks to a network) commits `begin` alone and calls
`finish` in a second one. If it dies in between, its key counts as under way for TAKEOVER_AFTER,
and belongs to whoever asks after that.
"""

import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from uuid import UUID

import orjson
import psycopg

from app.db.session import Session
from app.errors import IdempotencyKeyReused, InputInvalid, RequestInFlight

KEPT_FOR = dt.timedelta(hours=48)
TAKEOVER_AFTER = dt.timedelta(seconds=60)
HEADER = "Idempotency-Key"

_KEY = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The answer that was given before: its status and the very bytes of its body."""

    status: int
    body: bytes


def key_of(caller: str, header: str) -> str:
    """Return the stored key of a caller (`key:<id>`, `user:<id>`) and what its header says.

    Two callers of one app may use the same words. Raises InputInvalid.
    """
    if not _KEY.fullmatch(header):
        raise InputInvalid(
            "The idempotency key cannot be used.",
            why="It has 1 to 255 printable ASCII characters without spaces.",
            fix="Send a fresh UUID for each thing to be done, and the same one with its retries.",
            field=HEADER,
        )
    return f"{caller}:{header}"


def request_hash(method: str, path: str, body: bytes) -> bytes:
    """Return 32 bytes that name a request: order of fields and white space do not matter."""
    digest = hashlib.sha256(f"{method.upper()} {path}\n".encode("utf-8", "surrogatepass"))
    digest.update(_canonical(body))
    return digest.digest()


def _canonical(body: bytes) -> bytes:
    """Return JSON in one spelling; what is no JSON stands for itself."""
    try:
        return b"json " + orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return b"bytes " + body


# Evaluated in this order by one round trip: the time to wait for a twin is set, the row is
# inserted (here it may wait), and the time is as it was for the rest of the transaction.
_CLAIM = """
INSERT INTO idempotency_keys AS k (app_id, key, request_hash, expires_at)
SELECT %(app)s, %(key)s, %(hash)s, %(expires)s
FROM (SELECT set_config('lock_timeout', '5s', true)) AS patience
WHERE patience.set_config IS NOT NULL
ON CONFLICT ON CONSTRAINT idempotency_keys_key DO UPDATE
SET request_hash = excluded.request_hash, response_status = NULL, response_body = NULL,
    expires_at = excluded.expires_at, created_at = now()
WHERE k.expires_at <= %(now)s
   OR (k.response_status IS NULL AND k.created_at <= %(abandoned)s)
RETURNING set_config('lock_timeout', '0', true)"""

_FOUND = """
SELECT request_hash, response_status, response_body FROM idempotency_keys
WHERE key = %(key)s AND app_id IS NOT DISTINCT FROM %(app)s"""


def begin(
    session: Session, app_id: UUID | None, key: str, request_hash: bytes, now: dt.datetime
) -> Replay | None:
    """Claim `key` for this request and return None, or return the answer it got before.

    `key` as key_of returns it; `app_id` None for requests that concern no app. Call it first in the
    transaction of the work, and leave that transaction by raising what this raises:
    IdempotencyKeyReused when the key came with another request, RequestInFlight when that one is
    still under way.
    """
    binds = {
        "app": app_id,
        "key": key,
        "hash": request_hash,
        "now": now,
        "expires": now + KEPT_FOR,
        "abandoned": now - TAKEOVER_AFTER,
    }
    try:
        if session.execute(_CLAIM, binds).fetchone() is not None:
            return None
        found = session.execute(_FOUND, binds).fetchone()
    except psycopg.errors.LockNotAvailable as error:
        raise _in_flight() from error
    if found is None:  # its owner rolled back, or it was swept, between the two statements
        raise _in_flight()
    if bytes(found[0]) != request_hash:
        raise IdempotencyKeyReused(
            "This idempotency key belongs to another request.",
            why="It came before with another body, path or method.",
            fix="Use a new key for a new request, and send retries unchanged.",
            field=HEADER,
        )
    if found[1] is None:
        raise _in_flight()
    return Replay(status=found[1], body=bytes(found[2]))


_FINISH = """
UPDATE idempotency_keys SET response_status = %(status)s, response_body = %(body)s
WHERE key = %(key)s AND app_id IS NOT DISTINCT FROM %(app)s"""


def finish(session: Session, app_id: UUID | None, key: str, status: int, body: bytes) -> None:
    """Store the answer of a claimed key, in the transaction of what it answers for.

    Store final answers only: a refusal that a retry may overcome is raised, so that it rolls the
    claim back. A body with secrets is to be sealed by the caller.
    """
    session.execute(_FINISH, {"app": app_id, "key": key, "status": status, "body": body})


_RELEASE = """
DELETE FROM idempotency_keys
WHERE key = %(key)s AND app_id IS NOT DISTINCT FROM %(app)s AND response_status IS NULL"""


def release(session: Session, app_id: UUID | None, key: str) -> None:
    """Give a claimed key back: its request was refused and had no effect."""
    session.execute(_RELEASE, {"app": app_id, "key": key})


_SWEEP = """
DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM idempotency_keys WHERE expires_at <= %s
  ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED))"""


def sweep(session: Session, now: dt.datetime, limit: int = 5_000) -> int:
    """Forget at most `limit` keys whose time is over; return how many (idempotency_keys_expires_at)."""
    return session.execute(_SWEEP, (now, limit)).rowcount


def _in_flight() -> RequestInFlight:
    return RequestInFlight(
        "A request with this idempotency key is under way.",
        why="It has not been answered yet.",
        fix="Send it again, unchanged, in a few seconds: you get its answer.",
        field=HEADER,
    )
