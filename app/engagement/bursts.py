"""How many links of one mail were followed at once: scanners follow all, people one."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from app.db.session import Session
from app.engagement.machines import BURST_WINDOW
from app.queueing.payloads import Hit


def time_of(hit: Hit) -> dt.datetime:
    """Return when the tracking route saw the hit."""
    return dt.datetime.fromtimestamp(hit.at_ms / 1000, dt.UTC)


_EARLIER = """
SELECT email_id, at, (data->>'link')::int FROM email_events
WHERE email_id = ANY(%(ids)s) AND email_id BETWEEN %(low)s AND %(high)s
  AND type = 'clicked' AND at BETWEEN %(since)s AND %(until)s"""


class Clicks:
    """Which links of which mail were followed when: in this message, and just before it.

    A burst split over two messages is seen by the second; its earlier hits keep their verdict.
    """

    def __init__(self, session: Session, clicks: Sequence[Hit]) -> None:
        self._by_mail: defaultdict[UUID, list[tuple[dt.datetime, int | None]]] = defaultdict(list)
        for hit in clicks:
            self._by_mail[hit.email_id].append((time_of(hit), hit.link))
        if clicks:
            self._add_earlier(session, [time_of(hit) for hit in clicks])

    def _add_earlier(self, session: Session, times: Sequence[dt.datetime]) -> None:
        ids = list(self._by_mail)
        binds = {
            "ids": ids,
            "low": min(ids),
            "high": max(ids),
            "since": min(times) - BURST_WINDOW,
            "until": max(times) + BURST_WINDOW,
        }
        for email_id, at, link in session.execute(_EARLIER, binds).fetchall():
            self._by_mail[email_id].append((at, link))

    def links_around(self, email_id: UUID, at: dt.datetime) -> int:
        """Return how many distinct links were followed within BURST_WINDOW before or after `at`."""
        return len(
            {link for when, link in self._by_mail[email_id] if abs(when - at) <= BURST_WINDOW}
        )
