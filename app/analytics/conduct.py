"""What senders' mail met with of late: rollups plus the deltas that are not folded yet.

One range of minutes of one app (key email_stats_key), never the mails. Simulated mail is counted
twice, as what it played and as simulated, and so leaves no trace here. A release starts anew: what
was counted before it is forgotten.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping
from uuid import UUID

from app.db.session import Session, one
from app.policy.reputation import Conduct

DAY, WEEK = "24 h", "7 days"
WINDOWS = {DAY: dt.timedelta(hours=24), WEEK: dt.timedelta(days=7)}

# Of a sender whose last mail went before both windows.
SILENT: Mapping[str, Conduct] = {DAY: Conduct(), WEEK: Conduct()}

_BAD = ("bounced", "complained", "refused", "blocked")
_SIMULATED = ("simulated_sent", "simulated_bounced", "simulated_complained")
_KINDS = ("sent", "rejected", *_BAD, *_SIMULATED)
_RECENT = dt.timedelta(hours=2)  # of the clock's absence, after which a sender may go unjudged

# Apps with something new against them, and those that stand where they should not stay.
_TO_JUDGE = """
SELECT a.id FROM apps a WHERE NOT a.is_sandbox AND (
  EXISTS (SELECT FROM email_stats s
          WHERE s.app_id = a.id AND s.minute >= %(since)s AND s.kind = ANY(%(bad)s))
  OR a.id IN (SELECT d.app_id FROM email_stat_deltas d WHERE d.kind = ANY(%(bad)s))
  OR EXISTS (SELECT FROM app_reputation r
             WHERE r.app_id = a.id AND r.level IN ('warned', 'slowed')))
ORDER BY a.id"""

_COUNTED = """
WITH counted AS (
  SELECT account_id, kind, n, minute AS at FROM email_stats
  WHERE app_id = %(app)s AND minute >= %(week)s AND minute < %(until)s AND kind = ANY(%(kinds)s)
  UNION ALL
  SELECT account_id, kind, n, at FROM email_stat_deltas
  WHERE app_id = %(app)s AND at >= %(week)s AND at < %(until)s AND kind = ANY(%(kinds)s))"""

# One pass: what counts for the account since its release, and for the app since the app's.
_OF_SENDERS = f"""{_COUNTED},
since AS (
  SELECT coalesce((SELECT released_at FROM app_reputation WHERE sender_id = %(app)s),
                  '-infinity') AS app_since)
SELECT c.account_id, c.kind,
       sum(n) FILTER (WHERE at >= %(day)s AND at >= coalesce(r.released_at, '-infinity')),
       sum(n) FILTER (WHERE at >= coalesce(r.released_at, '-infinity')),
       sum(n) FILTER (WHERE at >= %(day)s AND at >= app_since),
       sum(n) FILTER (WHERE at >= app_since)
FROM counted c CROSS JOIN since LEFT JOIN app_reputation r ON r.sender_id = c.account_id
GROUP BY 1, 2"""  # noqa: S608 - constants

_BUSIEST = f"""{_COUNTED}
SELECT max(mails) FROM (
  SELECT sum(n) AS mails FROM counted
  WHERE kind = 'sent' AND (%(account)s::uuid IS NULL OR account_id = %(account)s)
  GROUP BY date_trunc('hour', at)) hours"""  # noqa: S608 - constants


def to_judge(session: Session, now: dt.datetime) -> list[UUID]:
    """Return the apps whose senders have to be judged now; sandboxes never."""
    binds = {"since": now - _RECENT, "bad": list(_BAD)}
    return [row[0] for row in session.execute(_TO_JUDGE, binds).fetchall()]


def of_app(session: Session, app_id: UUID, now: dt.datetime) -> dict[UUID, dict[str, Conduct]]:
    """Return the conduct of each sender, the app itself among them, in both windows."""
    counts: dict[UUID, dict[str, Counter[str]]] = defaultdict(
        lambda: {DAY: Counter(), WEEK: Counter()}
    )
    rows = session.execute(_OF_SENDERS, _binds(app_id, now)).fetchall()
    for account_id, kind, *sums in rows:
        day, week, app_day, app_week = (int(n or 0) for n in sums)
        counts[app_id][DAY][kind] += app_day
        counts[app_id][WEEK][kind] += app_week
        if account_id is not None:
            counts[account_id][DAY][kind] += day
            counts[account_id][WEEK][kind] += week
    return {
        sender_id: {name: _conduct(kinds) for name, kinds in found.items()}
        for sender_id, found in counts.items()
    }


_OF_CAMPAIGN = """
SELECT kind, sum(n) FROM (
  SELECT kind, n FROM email_stats WHERE campaign_id = %(campaign)s
  UNION ALL SELECT kind, n FROM email_stat_deltas WHERE campaign_id = %(campaign)s) counted
WHERE kind = ANY(%(kinds)s) GROUP BY 1"""

_BESIDES = """
SELECT kind, sum(n) FROM (
  SELECT kind, n FROM email_stats
  WHERE app_id = %(app)s AND minute >= %(week)s AND campaign_id IS DISTINCT FROM %(campaign)s
  UNION ALL
  SELECT kind, n FROM email_stat_deltas
  WHERE app_id = %(app)s AND campaign_id IS DISTINCT FROM %(campaign)s) counted
WHERE kind = ANY(%(kinds)s) GROUP BY 1"""


def of_campaign(session: Session, campaign_id: UUID) -> Conduct:
    """Return what a campaign's mail met with so far (index email_stats_campaign_id)."""
    binds = {"campaign": campaign_id, "kinds": list(_KINDS)}
    return _conduct(dict(session.execute(_OF_CAMPAIGN, binds).fetchall()))


def besides(session: Session, app_id: UUID, campaign_id: UUID, now: dt.datetime) -> Conduct:
    """Return what the app's other mail met with in the last week: its baseline."""
    binds = _binds(app_id, now) | {"campaign": campaign_id}
    return _conduct(dict(session.execute(_BESIDES, binds).fetchall()))


def busiest_hour(session: Session, app_id: UUID, sender_id: UUID, now: dt.datetime) -> int:
    """Return the most mails a sender sent in one hour of the last week."""
    account = None if sender_id == app_id else sender_id
    row = one(session, _BUSIEST, _binds(app_id, now) | {"account": account})
    return int(row[0] or 0) if row else 0


def _binds(app_id: UUID, now: dt.datetime) -> dict[str, object]:
    return {
        "app": app_id,
        "kinds": list(_KINDS),
        "day": now - WINDOWS[DAY],
        "week": now - WINDOWS[WEEK],
        "until": now + dt.timedelta(minutes=1),  # the running minute too
    }


def _conduct(kinds: Mapping[str, int]) -> Conduct:
    """Return the conduct these counts stand for.

    A recipient refused on the line is a bounce, too. A mail rejected there for any other reason was
    never sent: left out, a sender whose mail is blocked everywhere would have nothing against it.
    """
    kinds = {kind: int(n) for kind, n in kinds.items()}
    refused = kinds.get("refused", 0)
    answered = refused + kinds.get("rejected", 0)
    bounced = kinds.get("bounced", 0) - kinds.get("simulated_bounced", 0)
    complained = kinds.get("complained", 0) - kinds.get("simulated_complained", 0)
    return Conduct(
        sent=max(0, kinds.get("sent", 0) - kinds.get("simulated_sent", 0)) + answered,
        bounced=max(0, bounced + refused),
        complained=max(0, complained),
        blocked=max(0, kinds.get("blocked", 0)),
    )
