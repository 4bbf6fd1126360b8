"""`grow`: does a mail cost more when the table is large? Finished rows first, then a campaign.

Each size has a database of its own, so that its campaigns take turns with those of the others: the
speed of a machine wanders by more than what is looked for. The rows are made by generate_series,
straight into the monthly partitions of the current month and the month before, with three events
each; their ids are stamped in order, as real ones are.
"""

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import psycopg

from app.clock import utc_now
from app.config import settings
from app.db.migrate import upgrade
from app.db.session import Session, connect
from app.ids import new_id
from infra.load import databases, sinks, tenant
from infra.load.figures import Direction, Figure, Goal, number
from infra.load.round import Round, send_campaign
from infra.load.sinks import Sink
from infra.load.stand import Measured, Stand, median
from infra.local.terminal import say

_HOT = Goal(direction=Direction.AT_LEAST, limit=0.6)
_SAME_COST = Goal(direction=Direction.AT_MOST, limit=1.15, is_ratio=True)
_SPREAD = dt.timedelta(days=25)  # over how much time the finished mails were made
_BLOCK = 250_000
_FILLERS = 2
_WARM_LEADS = 400  # unmeasured: a process and a limiter that know the tenant
_EVENTS = ("attempt", "opened", "clicked")


def measure(stand: Stand) -> Measured:
    """Make a database of each size, then send the same campaign from each of them in turns."""
    rounds: dict[int, list[Round]] = {rows: [] for rows in stand.sizes.grow_rows}
    with sinks.fastest(stand.folder) as sink:
        urls = {rows: _database(rows, sink) for rows in rounds}
        for url in urls.values():
            with databases.at(url):
                _send(stand, sink, _WARM_LEADS)
        for _ in range(stand.sizes.rounds):
            for rows, url in urls.items():
                with databases.at(url):
                    rounds[rows].append(_send(stand, sink, stand.sizes.grow_leads))
    facts = {f"{rows} rows": [one.facts() for one in found] for rows, found in rounds.items()}
    remark = "peer column: the same campaign with the fewest rows; medians of interleaved rounds"
    return Measured(figures=figures(rounds), remarks=[remark], facts=facts)


def figures(rounds: Mapping[int, Sequence[Round]]) -> list[Figure]:
    """Return the cost of a mail at each size, against the smallest."""
    first = min(rounds)
    costs = {rows: median(one.spent.total for one in found) for rows, found in rounds.items()}
    speeds = {rows: median(one.per_s for one in found) for rows, found in rounds.items()}
    figures = []
    for rows, found in rounds.items():
        name, is_first = f"{number(rows)} finished rows", rows == first
        figures += [
            Figure(
                name=f"{name}, CPU-seconds per 1,000",
                ours=costs[rows],
                unit="s",
                other=None if is_first else costs[first],
                goal=None if is_first else _SAME_COST,
            ),
            Figure(
                name=f"{name}, mails/s",
                ours=speeds[rows],
                unit="/s",
                other=None if is_first else speeds[first],
            ),
        ]
        shares = [one.hot_share for one in found if one.hot_share is not None]
        if shares:
            share = median(shares)
            figures.append(Figure(name=f"{name}, HOT share", ours=share, unit="", goal=_HOT))
    return figures


def _send(stand: Stand, sink: Sink, leads: int) -> Round:
    with connect(settings().database_url, role=None) as session:
        strength = stand.sizes.strength
        return send_campaign(session, sink, stand.folder, leads=leads, strength=strength)


def _database(rows: int, sink: Sink) -> str:
    """Return the URL of a new database with `rows` finished mails."""
    url = databases.new_database(f"bench_grow_{rows}")
    upgrade(url)
    with databases.at(url), connect(url, role=None) as session:
        _grow(session, tenant.new_app(session, sink.port), rows)
    return url


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
