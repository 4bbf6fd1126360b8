"""A database with many finished mails, and a session that keeps the plan of every statement.

MAILQUEUE_PLAN_ROWS=1000000 makes it a million mails; the default keeps the suite short.
"""

import contextlib
import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import TupleRow

from app.clock import utc_now
from app.db.session import Session, connect
from app.ids import lower_bound
from tests import stack
from tests.factories import (
    default_queue,
    make_account,
    make_app,
    make_campaign,
    make_step,
    make_template_version,
)

ROWS = int(os.environ.get("MAILQUEUE_PLAN_ROWS", "300000"))
CAMPAIGNS = 25
WAITING = 20_000  # of the newest mails are scheduled, the others are sent

# Ids as the program makes them: the time in front, spread over the 20 days before now.
_MAILS = """
INSERT INTO emails (id, app_id, queue_id, account_id, template_version_id, campaign_id, step_id,
  to_email, to_domain, to_hash, status, due_at, queued_at, claimed_at, sent_at, attempt, fence)
SELECT (lpad(to_hex(%(first)s::bigint + n * %(step)s::bigint), 12, '0') || '7000'
          || '8000' || lpad(to_hex(n), 12, '0'))::uuid,
  %(app)s, %(queue)s, %(account)s, %(version)s,
  (%(campaigns)s::uuid[])[1 + n %% %(number)s], %(step_id)s, 'reader' || n || '@example.com', 'example.com', decode(lpad(to_hex(n), 64, '0'), 'hex'),
  CASE WHEN n > %(rows)s - %(waiting)s THEN 'scheduled' ELSE 'sent' END,
  CASE WHEN n > %(rows)s - %(waiting)s THEN now() - interval '1 minute' END,
  now(), now(), now(), 1, 1
FROM generate_series(1, %(rows)s) AS n"""
_EVENTS = """
INSERT INTO email_events (email_id, id, app_id, type, data)
SELECT id, id, app_id, 'attempt', '{"code": 250, "verdict": "accepted"}' FROM emails
WHERE status = 'sent'"""
_DELTAS = """
INSERT INTO email_stat_deltas (app_id, queue_id, campaign_id, step_id, account_id, kind, n)
SELECT %(app)s, %(queue)s, %(campaign)s, %(step_id)s, %(account)s, 'sent', 100
FROM generate_series(1, 60000)"""
_LEADS = """
INSERT INTO leads (id, app_id, email, email_hash)
SELECT gen_random_uuid(), %(app)s, 'lead' || n || '@example.com',
  decode(lpad(to_hex(n), 64, '0'), 'hex')
FROM generate_series(1, 50000) AS n"""
_ENROLMENTS = """
INSERT INTO enrolments (id, app_id, campaign_id, lead_id, account_id, due_at)
SELECT gen_random_uuid(), %(app)s, %(campaign)s, id, %(account)s,
  now() + (row_number() OVER () - 500) * interval '1 minute'
FROM leads"""
_SUPPRESSIONS = """
INSERT INTO suppression_list (id, app_id, email_hash, reason, source)
SELECT gen_random_uuid(), %(app)s, decode(lpad(to_hex(n * 7 + 10000000), 64, '0'), 'hex'),
  'hard_bounce', 'test'
FROM generate_series(1, 50000) AS n"""
# Old, and kept: bodies that are blank, messages, answers, copies. Ids of the first seconds of 1970.
_BLANK = """
INSERT INTO template_versions (id, app_id, subject, content_hash)
SELECT (lpad(to_hex(n), 12, '0') || '70008000000000000000')::uuid, %(app)s, 'erased',
  uuid_send(gen_random_uuid())
FROM generate_series(1, 30000) AS n"""
_MESSAGES = """
INSERT INTO messages (id, app_id, template_version_id, created_at)
SELECT id, app_id, id, '1970-01-01' FROM template_versions WHERE subject = 'erased'"""
_ANSWERS = """
INSERT INTO inbound_messages (id, app_id, kind, recipient, status)
SELECT id, app_id, 'other', 'x', 'processed' FROM messages"""
_COPIES = """
INSERT INTO inbox_message_content (ref_id, app_id, raw, created_at)
SELECT id, app_id, '', created_at FROM messages"""

_OLD = (_BLANK, _MESSAGES, _ANSWERS, _COPIES)
_FILL = (_MAILS, _EVENTS, _DELTAS, _LEADS, _ENROLMENTS, _SUPPRESSIONS, *_OLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """What the mails have in common, and the months they lie in."""

    app_id: UUID
    account_id: UUID
    campaign_id: UUID
    months: frozenset[str]


@dataclass(slots=True)
class Plans:
    """The plans of the statements that ran, as PostgreSQL's JSON tells them."""

    found: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def nodes(self) -> list[dict[str, Any]]:
        return [node for _, plan in self.found for node in _below(plan)]


def _below(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(found for child in node.get("Plans", []) for found in _below(child))]


@pytest.fixture(scope="module")
def crowded(
    database_url: str, maintenance: psycopg.Connection, template_database: str
) -> Iterator[tuple[str, Town]]:
    with (
        stack.cloned(database_url, maintenance, template_database) as url,
        contextlib.closing(connect(url)) as session,
    ):
        yield url, _filled(url, session)


def _filled(url: str, session: Session) -> Town:
    app_id = make_app(session).id
    account_id = make_account(session, app_id).id
    campaigns = [make_campaign(session, app_id, account_id=account_id) for _ in range(CAMPAIGNS)]
    campaign_id = campaigns[0]
    first_at = utc_now() - dt.timedelta(days=20)
    first_ms = lower_bound(first_at).int >> 80
    binds = {
        "app": app_id,
        "queue": default_queue(session, app_id).id,
        "account": account_id,
        "version": make_template_version(session, app_id),
        "campaign": campaign_id,
        "campaigns": campaigns,
        "number": CAMPAIGNS,
        "step_id": make_step(session, campaign_id),
        "first": first_ms,
        "step": 20 * 86_400_000 // ROWS,
        "rows": ROWS,
        "waiting": WAITING,
    }
    with psycopg.connect(url, autocommit=True) as owner:
        for statement in _FILL:
            owner.execute(statement, binds)
        owner.execute("VACUUM ANALYZE")
    months = {f"{day:%Y_%m}" for day in (first_at, utc_now())}
    return Town(
        app_id=app_id,
        account_id=account_id,
        campaign_id=campaign_id,
        months=frozenset(months),
    )


@pytest.fixture
def town(crowded: tuple[str, Town]) -> Town:
    return crowded[1]


@pytest.fixture
def plans() -> Plans:
    return Plans()


@pytest.fixture
def session(crowded: tuple[str, Town], plans: Plans) -> Iterator[Session]:
    """A worker's session; each statement is explained with its own text and values, then run.

    Whatever a test changes is rolled back.
    """

    class Explaining(psycopg.Cursor[TupleRow]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            text = str(query)
            if text.lstrip()[:6].upper() in {"SELECT", "UPDATE", "INSERT", "DELETE"} or (
                text.lstrip()[:4].upper() == "WITH"
            ):
                self._explain(text, params)
            return super().execute(query, params, **options)

        def _explain(self, text: str, params: Any) -> None:
            with opened.transaction(force_rollback=True), psycopg.Cursor(opened) as other:
                other.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + text, params)
                ((explained,),) = other.fetchall()
                plans.found.append((text, explained[0]["Plan"]))

    with contextlib.closing(connect(crowded[0])) as opened:
        opened.cursor_factory = Explaining
        with opened.transaction(force_rollback=True):
            yield opened
