"""The loop of one stream: mails onto connections, until each has a fate.

Per turn: read every ready connection, write all journal lines of the turn with one write(2), then
write the sockets, so that the S line of a mail is durable before its final dot may leave.

A connection that breaks leaves the mail behind its dot unknown. Its other mail goes on over the
connections that are left; when none is left the server is tried once more, then the rest is
untried. A kept connection that the server had closed before it said anything costs nobody a try.

Mails may be added while others are under way, so that no connection stands idle for as long as the
caller records what became of those before.
"""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.errors import DependencyUnavailable
from app.smtp.connection import Connection, ServerUnusable, Stage
from app.smtp.dialogue import Dialogue
from app.smtp.fates import Fates, Settled
from app.smtp.journal import Journal
from app.smtp.transaction import Envelope

if TYPE_CHECKING:
    from app.smtp.group import Group

_MOST_ROUNDS = 2
_LONGEST_WAIT_S = 1.0


class Dispatch:
    """One stream of mails over a group; made by Group.stream().

    After `timeouts.submit_s` no further mail of it begins.
    """

    def __init__(self, group: "Group", journal: Journal) -> None:
        server = group.server
        self._group = group
        self._journal = journal
        self._fates = Fates(server.host)
        self._dialogue = Dialogue(self._fates, server.timeouts, server.max_mails)
        self._reason = ServerUnusable("No connection was opened.", stage=Stage.CONNECT)
        self._rounds = 0
        self._progress_seen = 0

    @property
    def under_way(self) -> int:
        """Return how many mails have no fate yet."""
        return len(self._fates.missing)

    def add(self, envelopes: Sequence[Envelope]) -> None:
        """Take more mails on; they are numbered in the order of being added, from 0."""
        if not self._fates.missing:
            self._rounds = 0
        self._fates.add(envelopes)

    def until_low(self) -> list[Settled]:
        """Go on until each connection has one more mail to begin at most; return what was settled.

        As (number, attempt), each mail once, as they came.
        """
        return self._drive(self._group.server.connections)

    def until_done(self) -> list[Settled]:
        """Go on until every mail has a fate; return what was settled since the last call."""
        return self._drive(-1)

    def freshen(self) -> None:
        """Drop kept connections that the server has closed or that have stood idle too long."""
        now = time.monotonic()
        for connection in self._group.connections:
            connection.is_reused = True
        for connection in self._group.wait(0.0):
            if not connection.closed:
                self._serve(connection, now)
        for connection in list(self._group.connections):
            idle_s = now - connection.last_used
            if connection.expected or idle_s > self._group.server.max_idle_s:
                self._group.drop(connection)

    def _drive(self, low: int) -> list[Settled]:
        """Turn until no more than `low` mails wait for a connection; -1: until none is under way."""
        fates, now = self._fates, time.monotonic()
        while fates.missing:
            if fates.todo:
                self._employ(now)
            self._flush()
            if len(fates.todo) <= low:
                break
            if fates.missing:
                now = self._turn()
        self._flush()
        for connection in self._group.connections:
            connection.last_used = now
        return fates.take_settled()

    def _employ(self, now: float) -> None:
        """Give idle connections work, open more where there is too much, give up where none is."""
        if self._dialogue.is_over(now):
            self._fates.give_up(
                ServerUnusable("The time for this batch is over.", stage=Stage.LOCAL)
            )
            return
        for connection in self._group.idle():
            if not connection.expected and self._dialogue.is_spent(connection):
                self._group.drop(connection)
            else:
                self._dialogue.begin(connection, now)
        if not self._fates.todo:
            return
        is_hopeless = self._group.is_deserted() and not self._may_reconnect()
        if is_hopeless or self._dialogue.halted is not None:
            self._fates.give_up(self._reason)
            return
        self._group.grow(len(self._fates.missing), now)

    def _may_reconnect(self) -> bool:
        """Allow one more round of connections since the last mail that a server answered."""
        if self._dialogue.progress > self._progress_seen:
            self._progress_seen = self._dialogue.progress
            self._rounds = 0
        self._rounds += 1
        return self._rounds <= _MOST_ROUNDS

    def _flush(self) -> None:
        """Make the turn's intents durable, then write the sockets."""
        dialogue = self._dialogue
        if dialogue.lines:
            lines, dialogue.lines = b"".join(dialogue.lines), []
            try:
                self._journal.write(lines)
            except DependencyUnavailable as error:
                self._halt(error)
        writes, dialogue.writes = dialogue.writes, []
        for connection, data in writes:
            if not connection.closed:
                connection.send(data)
                if connection.rest:
                    self._group.watch(connection)

    def _turn(self) -> float:
        """Wait for something to happen and deal with it; returns the time of the turn."""
        wait_s = min(self._dialogue.wake - time.monotonic(), _LONGEST_WAIT_S)
        ready = self._group.wait(max(0.0, wait_s))
        now = time.monotonic()
        for connection in ready:
            if not connection.closed:
                self._serve(connection, now)
        failure = self._group.adopt(now)
        if failure is not None:
            self._reason = failure
            if self._group.is_deserted():
                self._rounds = _MOST_ROUNDS
        if now >= self._dialogue.wake:
            self._expire(now)
        return now

    def _serve(self, connection: Connection, now: float) -> None:
        """Write what is left over, read what came."""
        if connection.rest:
            connection.flush()
            self._group.watch(connection)
        try:
            replies = connection.read()
        except OSError as error:
            stage = connection.expected[0] if connection.expected else Stage.CONNECT
            self._lose(connection, ServerUnusable(f"The connection broke: {error}.", stage=stage))
            return
        if not replies:
            return
        reason = self._dialogue.hear(connection, replies, now)
        if reason is not None:
            self._lose(connection, reason)

    def _expire(self, now: float) -> None:
        """Drop every connection whose owed reply is overdue and note the next deadline."""
        owing = [c for c in self._group.connections if c.expected]
        for connection in owing:
            if connection.deadline <= now:
                stage = connection.expected[0]
                limit_s = self._dialogue.limits_s[stage]
                silence = f"The server gave no answer within {limit_s:g} s."
                self._lose(connection, ServerUnusable(silence, stage=stage))
        self._dialogue.wake = min((c.deadline for c in owing if not c.closed), default=math.inf)

    def _lose(self, connection: Connection, reason: ServerUnusable) -> None:
        """Part with a connection; its mails are settled or go on over another."""
        self._group.drop(connection)
        self._reason = reason
        if connection.is_reused:
            self._rounds = 0
        self._fates.lose(connection, reason, time.monotonic())

    def _halt(self, error: DependencyUnavailable) -> None:
        """Let no further dot leave: without a journal a crash could send twice.

        Connections that were about to send one are dropped; replies owed for others are still heard.
        """
        halted = ServerUnusable(error.what, stage=Stage.DATA, why=error.why, fix=error.fix)
        self._dialogue.halted = halted
        for connection, _ in self._dialogue.writes:
            if connection.behind_dot is not None and not connection.dot_has_left():
                self._lose(connection, halted)
        self._reason = halted
