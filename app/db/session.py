"""One session per thread: a psycopg connection that commits by itself outside of transactions.

`with session.transaction():` is the only way to hold a transaction, and it never spans a network
call. Workers connect as mailqueue_worker; the API's tenant_transaction() steps down to
mailqueue_api, which row-level security confines to one app (DESIGN 8).
"""

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_dumps, set_json_loads

from app.errors import ConfigurationInvalid, DependencyUnavailable

Session = psycopg.Connection[TupleRow]
Row = TupleRow

set_json_loads(orjson.loads)
set_json_dumps(orjson.dumps)

# What says that a session's connection is gone: what it was doing may or may not have been committed,
# and a new session may try again. PostgreSQL's word about a worker that froze inside a transaction
# (25P03) is no OperationalError.
CONNECTION_LOST = (psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout)

# No transaction waits for anything but PostgreSQL. A process that was frozen in one lets go of its
# rows after this time, a machine that vanished after the TCP timeouts, on both sides.
IDLE_IN_TRANSACTION_S = 30
_SERVER_SIDE = (
    f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_S}s"
    " -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
    " -c tcp_user_timeout=60s"
)
_CLIENT_SIDE: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

_local = threading.local()


def connect(dsn: str, *, role: str | None = "mailqueue_worker") -> Session:
    """Open a session; `role` None keeps the login role (migrations, tests).

    Statements are prepared at their second use; a hot loop runs few distinct ones. The `options`
    of a DATABASE_URL are stronger than ours, except for time zone and role. Raises
    DependencyUnavailable, and ConfigurationInvalid when the roles are not there yet.
    """
    ours = "-c timezone=UTC" + (f" -c role={role}" if role else "")
    try:
        theirs = conninfo_to_dict(dsn).get("options", "")
        return psycopg.connect(
            dsn,
            autocommit=True,
            prepare_threshold=1,
            options=f"{_SERVER_SIDE} {theirs} {ours}",
            application_name="mailqueue",
            **_CLIENT_SIDE,
        )
    except psycopg.ProgrammingError as error:
        raise ConfigurationInvalid(
            "DATABASE_URL cannot be used.",
            why=f"{str(error).strip()}.",
            fix="Write it as postgresql://user:password@host:5432/database.",
            field="DATABASE_URL",
        ) from error
    except psycopg.OperationalError as error:
        # libpq's last word; indented lines only ask whether the server runs.
        said = [line for line in str(error).strip().splitlines() if not line[:1].isspace()]
        why = said[-1].rstrip(".") + "."
        if role is not None and f'"{role}"' in why:
            raise _not_migrated(role, why) from error
        raise DependencyUnavailable(
            "PostgreSQL cannot be reached.",
            why=why,
            fix="Check DATABASE_URL and that the server runs (`mailqueue doctor`).",
        ) from error


def _not_migrated(role: str, why: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(
        f"The user in DATABASE_URL cannot work as {role}.",
        why=why,
        fix="Run: mailqueue migrate",
        field="DATABASE_URL",
    )


def thread_session(dsn: str) -> Session:
    """Return this thread's session to `dsn`, opened again when it was lost."""
    session: Session | None = getattr(_local, "session", None)
    if session is None or session.closed or session.broken or _local.dsn != dsn:
        close_thread_session()
        session = _local.session = connect(dsn)
        _local.dsn = dsn
    return session


def close_thread_session() -> None:
    """Close this thread's session, if it has one."""
    session: Session | None = getattr(_local, "session", None)
    if session is not None:
        session.close()
    _local.session = None


# The same as SET LOCAL ROLE and SET LOCAL, in one statement.
_STEP_DOWN = """
SELECT set_config('role', 'mailqueue_api', true), set_config('mailqueue.app_id', %s, true)"""


@contextmanager
def tenant_transaction(session: Session, app_id: UUID) -> Iterator[Session]:
    """Run one transaction as mailqueue_api, confined to `app_id` by row-level security."""
    with ExitStack() as stack:
        with session.pipeline():  # BEGIN and this in one round trip
            # session.transaction() would keep the pipeline open: errors late, COPY refused.
            stack.enter_context(psycopg.Transaction(session))
            session.execute(_STEP_DOWN, (str(app_id),))
        yield session


_PLAN_ONCE = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)"


def plan_once(session: Session) -> None:
    """Let the rest of the transaction use plans that are made once, whatever their arguments.

    For look-ups by key: to plan a join with a partitioned table takes 1 ms, to run it 0.2 ms.
    """
    session.execute(_PLAN_ONCE)


@contextmanager
def limited(session: Session, longest: dt.timedelta) -> Iterator[None]:
    """Let no statement take longer (psycopg's QueryCanceled); the session is as before afterwards."""
    milliseconds = str(int(longest.total_seconds() * 1000))
    session.execute("SELECT set_config('statement_timeout', %s, false)", (milliseconds,))
    try:
        yield
    finally:
        session.execute("RESET statement_timeout")


@contextmanager
def exclusive(session: Session, key: int) -> Iterator[bool]:
    """Hold an advisory lock of the database, if nobody else does: yields whether it is ours."""
    row = session.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    is_ours = bool(row and row[0])
    try:
        yield is_ours
    finally:
        if is_ours and not session.closed:
            session.execute("SELECT pg_advisory_unlock(%s)", (key,))


def one(session: Session, statement: str, binds: dict[str, Any] | Sequence[Any] = ()) -> Row | None:
    """Return the first row of `statement`, or None."""
    return session.execute(statement, binds).fetchone()


def uuid_array(ids: Sequence[str]) -> str:
    """Return hex ids as one array literal: the cheapest thing psycopg can send."""
    return "{" + ",".join(ids) + "}"
