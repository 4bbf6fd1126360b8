"""`grow`: does a mail cost more when the table is large? Finished rows first, then a campaign.

The rows are made by generate_series, straight into the monthly partitions of the current month
and the month before, with three events each; their ids are stamped in order, as real ones are.
"""

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import psycopg

from app.clock import utc_now
from app.config import settings
from app.db.session import Session, connect
from app.ids import new_id
from infra.load import sinks, tenant
from infra.load.figures import Direction, Figure, Goal, number
from infra.load.round import Round, send_campaign
from infra.load.stand import Measured, Stand
from infra.local.terminal import say

_HOT = Goal(direction=Direction.AT_LEAST, limit=0.6)
_SAME_COST = Goal(direction=Direction.AT_MOST, limit=1.15, is_ratio=True)
_SPREAD = dt.timedelta(days=25)  # over how much time the finished mails were made
_BLOCK = 250_000
_FILLERS = 2
_EVENTS = ("attempt", "opened", "clicked")


def measure(stand: Stand) -> Measured:
    """Grow the table step by step, send the same campaign after each step, compare the costs."""
    rounds: list[tuple[int, Round]] = []
    with (
        sinks.fastest(stand.folder) as sink,
        connect(settings().database_url, role=None) as session,
    ):
        app_id = tenant.new_app(session, sink.port)
        for rows in stand.sizes.grow_rows:
            _grow(session, app_id, rows)
            sizes = stand.sizes
            done = send_campaign(
                session, sink, stand.folder, leads=sizes.grow_leads, strength=sizes.strength
            )
            rounds.append((rows, done))
    facts = {f"{rows} rows": one.facts() for rows, one in rounds}
    remark = "peer column: the same campaign with the fewest rows"
    return Measured(figures=figures(rounds), remarks=[remark], facts=facts)


def figures(rounds: Sequence[tuple[int, Round]]) -> list[Figure]:
    """Return the cost of a mail at each size, against the smallest."""
    _, first = rounds[0]
    found = []
    for rows, one in rounds:
        other = None if one is first else first
        name = f"{number(rows)} finished rows"
        found += [
            Figure(
                name=f"{name}, CPU-seconds per 1,000",
                ours=one.spent.total,
                unit="s",
                other=other.spent.total if other else None,
                goal=_SAME_COST if other else None,
            ),
            Figure(
                name=f"{name}, mails/s",
                ours=one.per_s,
                unit="/s",
                other=other.per_s if other else None,
            ),
        ]
        if one.hot_share is not None:
            share = Figure(name=f"{name}, HOT share", ours=one.hot_share, unit="", goal=_HOT)
            found.append(share)
    return found


# Rows go in where mail goes in, under the benchmark's own app: finished, so nothing reads them.
_MAILS = """
INSERT INTO {table} (id, app_id, queue_id, account_id, template_version_id, campaign_id, to_email,
  to_domain, to_hash, variables, status, attempt, fence, queued_at, claimed_at, sent_at, smtp_code,
  created_at)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
        || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid,
  %(app)s, q.id, a.id, v.id, %(campaign)s, 'old' || g || '@rcpt.example.com', 'rcpt.example.com',
  decode(h, 'hex'), jsonb_build_object('firstName', 'Zoë' || g, 'lastName', 'Example' || g,
  'company', 'Company ' || g || ' GmbH', 'plan', 'Team', 'month', 'April'),
  'sent', 1, 1, at, at, at, 250, at
FROM generate_series(%(low)s::bigint, %(high)s::bigint) g,
  LATERAL (SELECT md5(g::text) AS h, %(began)s + (g - 1) * %(step)s AS at) made,
  (SELECT id FROM queues WHERE app_id = %(app)s LIMIT 1) q,
  (SELECT id FROM email_accounts WHERE app_id = %(app)s LIMIT 1) a,
  (SELECT id FROM template_versions WHERE app_id = %(app)s LIMIT 1) v"""
_TIMELINES = """
INSERT INTO {table} (email_id, id, app_id, type, data, at)
SELECT e.id, gen_random_uuid(), e.app_id, type,
  '{{"ms": 1.2, "code": 250, "text": "2.0.0 Ok", "attempt": 1, "verdict": "accepted"}}', e.sent_at
FROM emails e, unnest(%(types)s::text[]) AS type
WHERE e.campaign_id = %(campaign)s"""


def _grow(session: Session, app_id: object, rows: int) -> None:
    """Fill up to `rows` finished mails, two blocks at a time, each a campaign of its own."""
    began, step = utc_now() - _SPREAD, _SPREAD / max(rows, 1)
    ((there,),) = session.execute("SELECT count(*) FROM emails").fetchall()
    with ThreadPoolExecutor(_FILLERS) as pool:
        blocks = [
            pool.submit(
                _fill,
                {
                    "app": app_id,
                    "low": low,
                    "high": min(low + _BLOCK - 1, rows),
                    "began": began,
                    "step": step,
                    "campaign": new_id(),
                    "types": list(_EVENTS),
                },
            )
            for low in range(there + 1, rows + 1, _BLOCK)
        ]
        for block in as_completed(blocks):
            say(f"{block.result():,} finished rows")
    session.execute("VACUUM ANALYZE emails")
    session.execute("VACUUM ANALYZE email_events")
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        session.execute("CHECKPOINT")  # or the first campaign pays for the pages of the filling


def _fill(block: Mapping[str, Any]) -> int:
    """Fill one block; return the number of its last row."""
    with connect(settings().database_url, role=None) as session:
        session.execute(_MAILS.format(table="emails"), block)
        session.execute(_TIMELINES.format(table="email_events"), block)
    return int(block["high"])
