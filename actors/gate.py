"""The gate before one SMTP server: its circuit breaker, as one chunk meets it.

Healthy servers cost nothing here: the breaker came with the route, and an answer is only written
down when it changes something.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from actors.waiting import patiently
from app.clock import utc_now
from app.log import Event, logger
from app.metrics import BREAKERS_OPENED
from app.sending import breakers
from app.sending.outcome import SERVER_PAUSE, is_answer, server_failure
from app.sending.route import Route
from app.smtp.breaker import Breaker, Phase
from app.smtp.transaction import Attempt


class Gate:
    """One chunk before its server. `has_moved` = the breaker is not what the route said."""

    def __init__(self, route: Route) -> None:
        self._server_id = route.server_id
        self._name = route.server_name
        self._breaker = route.breaker
        self._failed_at: dt.datetime | None = None
        self.has_moved = False

    @property
    def is_open(self) -> bool:
        """Tell whether mail may pass freely: the breaker is closed, and the server did not just fail."""
        return self._breaker.is_closed and self._failed_at is None

    @property
    def opens_at(self) -> dt.datetime:
        """When the mails that may not pass should come again."""
        if self._failed_at is not None and self._breaker.is_closed:
            return self._failed_at + SERVER_PAUSE
        return self._breaker.probe_at or utc_now()

    @property
    def reason(self) -> str:
        """Why mails may not pass."""
        if self._breaker.is_closed:
            return f"SMTP server {self._name} failed: {self._breaker.reason}"
        return f"breaker of SMTP server {self._name} is open: {self._breaker.reason}"

    @contextmanager
    def probe(self) -> Iterator[bool]:
        """Take the server's one probe for the time of the block; yields whether it is ours."""
        is_ours = False
        if self._failed_at is None:
            server_id = self._server_id
            is_ours, found = patiently(lambda session: breakers.take_probe(session, server_id))
            self._become(found)
        taken = self._breaker
        try:
            yield is_ours
        finally:
            if is_ours and self._breaker == taken:
                # No server was asked: the mail was cancelled meanwhile, or a limit is in the way.
                self._become(patiently(lambda session: breakers.let_go(session, self._server_id)))

    def heard(self, results: Sequence[Attempt]) -> None:
        """Note what a submit says about the server."""
        server_id, reason = self._server_id, server_failure(results)
        if reason is not None:
            self._failed_at = utc_now()
            self._become(
                patiently(lambda session: breakers.note_failure(session, server_id, reason))
            )
        elif not self._breaker.is_spotless and any(is_answer(result) for result in results):
            self._become(patiently(lambda session: breakers.note_answer(session, server_id)))

    def _become(self, breaker: Breaker) -> None:
        before, self._breaker = self._breaker, breaker
        self.has_moved |= breaker != before
        if breaker.phase is before.phase:
            return
        if breaker.phase is Phase.OPEN:
            BREAKERS_OPENED.inc()
            logger().warning(Event.BREAKER_OPENED, server=self._name, reason=breaker.reason)
        elif breaker.is_closed:
            logger().info(Event.BREAKER_CLOSED, server=self._name)
