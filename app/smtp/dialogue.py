"""What to say next on a connection, given what the server just said (RFC 5321, RFC 2920).

Pipelined, in one write: [body k "." MAIL RCPT DATA of k+1] -> [reply to dot k | replies to MAIL,
RCPT, DATA]. Without PIPELINING the same steps, one at a time. Nothing is written here: `lines` are
for the journal and `writes` for the sockets, and the caller does the first before the second.
"""

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence

from app.redaction import without_addresses
from app.smtp.connection import Connection, ServerUnusable, Stage, Timeouts
from app.smtp.fates import Fates
from app.smtp.replies import GARBLED, Reply
from app.smtp.transaction import Transaction

_MAIL, _RCPT, _DATA, _DOT = Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT
_NEGOTIATION = (_MAIL, _RCPT, _DATA)
_ROUND = deque((_DOT, *_NEGOTIATION))
_TERMINATOR = b".\r\n"
_CLOSING = 421
_LONGEST_TEXT = 1_000


class Dialogue:
    """All dialogues of one stream.

    `progress` counts mails settled by a server's reply. `wake` is not later than the first
    deadline. `halted` says why no further final dot may leave.
    """

    def __init__(self, fates: Fates, timeouts: Timeouts, max_mails: int) -> None:
        self.lines: list[bytes] = []
        self.writes: list[tuple[Connection, bytes]] = []
        self.wake = math.inf
        self.progress = 0
        self.halted: ServerUnusable | None = None
        self.limits_s = dict.fromkeys(Stage, timeouts.command_s)
        self.limits_s |= {_DATA: timeouts.data_s, _DOT: timeouts.dot_s}
        self._fates = fates
        self._max_mails = max_mails or math.inf
        self._last_call = time.monotonic() + timeouts.submit_s

    def is_over(self, now: float) -> bool:
        """Return whether the time in which mails of this stream may begin has passed."""
        return now >= self._last_call

    def is_spent(self, connection: Connection) -> bool:
        """Return whether a connection has carried as many mails as it may."""
        return connection.mails >= self._max_mails

    def begin(self, connection: Connection, now: float) -> None:
        """Start the next mail on a connection that negotiates none; does nothing if it must wait."""
        if connection.expected and not connection.offered.pipelining:
            return
        mail = self._take(connection, now)
        if mail is None:
            return
        if connection.needs_reset:
            connection.needs_reset = False
            self._say(connection, b"RSET\r\n", Stage.RSET, now)
            if not connection.offered.pipelining:
                return
        self._say_envelope(connection, mail, now)

    def hear(
        self, connection: Connection, replies: Sequence[Reply], now: float
    ) -> ServerUnusable | None:
        """Go on from replies; returns why the connection must be dropped, if it must."""
        if self._hear_round(connection, replies, now):
            return None
        for reply in replies:
            reason = self._hear(connection, reply, now)
            if reason is not None:
                return reason
        return None

    def _hear_round(self, connection: Connection, replies: Sequence[Reply], now: float) -> bool:
        """Take a whole round at once when all went well, as it nearly always does.

        It is what _hear() would do with the four replies one by one, at half the cost.
        """
        if len(replies) != 4 or connection.expected != _ROUND or self.halted is not None:
            return False
        dot, mail_from, rcpt_to, data = replies
        if dot[0] // 100 != 2 or not mail_from[0] == rcpt_to[0] == 250 or data[0] != 354:
            return False
        mail = _current(connection)
        if mail.refused_at is not None or not connection.dot_has_left():
            return False
        connection.expected.clear()
        self._take_answer(connection, dot, now)
        mail.replies += ((now, mail_from), (now, rcpt_to), (now, data))
        self._send_body(connection, mail, now)
        return True

    def _hear(self, connection: Connection, reply: Reply, now: float) -> ServerUnusable | None:
        """Go on from one reply."""
        if not connection.expected:
            return _closing(Stage.CONNECT, reply)
        stage = connection.expected.popleft()
        if connection.expected:
            self._arm(connection, connection.expected[0], now)
        if stage is _DOT:
            return self._hear_dot(connection, reply, now)
        if reply[0] in (_CLOSING, GARBLED) or (stage is Stage.RSET and reply[0] >= 300):
            return _closing(stage, reply)
        if stage is _DATA:
            return self._hear_data(connection, reply, now)
        if stage is _MAIL or stage is _RCPT:
            self._hear_address(connection, stage, reply, now)
        elif connection.current is not None and not connection.expected:
            self._say_envelope(connection, connection.current, now)
        return None

    def _hear_address(self, connection: Connection, stage: Stage, reply: Reply, now: float) -> None:
        """Note a refusal of MAIL or RCPT; in a sequential dialogue go on to the next command."""
        mail = _current(connection)
        connection.is_reused = False
        mail.replies.append((now, reply))
        if reply[0] >= 300 and mail.refused_at is None:
            mail.refused_at, mail.outcome = stage, reply
        if connection.offered.pipelining:
            return
        if mail.refused_at is not None:
            self._refuse(connection, mail, now)
        elif stage is _MAIL:
            self._say(connection, mail.rcpt, _RCPT, now)
        else:
            self._say(connection, b"DATA\r\n", _DATA, now)

    def _hear_data(self, connection: Connection, reply: Reply, now: float) -> ServerUnusable | None:
        """Send the body if DATA was granted, or take the refusal."""
        mail = _current(connection)
        mail.replies.append((now, reply))
        is_invited = reply[0] == 354
        if mail.refused_at is None:
            if is_invited and self.halted is not None:
                return self.halted
            if is_invited:
                self._send_body(connection, mail, now)
                return None
            if reply[0] < 400:
                return _closing(_DATA, reply)
            mail.refused_at, mail.outcome = _DATA, reply
        self._refuse(connection, mail, now)
        if is_invited:
            # RFC 2920, 3.1: an empty message to no recipient, which the server has to refuse.
            connection.needs_reset = False
            self._say(connection, _TERMINATOR, Stage.EMPTY_DOT, now)
        return None

    def _send_body(self, connection: Connection, mail: Transaction, now: float) -> None:
        """Note the intent; then body and dot, and the next envelope in the same breath."""
        self.lines.append(b"S %b\n" % mail.key)
        connection.behind_dot, connection.current = mail, None
        connection.before_dot = len(connection.rest) + len(mail.body)
        connection.exposed = 0
        mail.dotted = now
        following = self._take(connection, now) if connection.offered.pipelining else None
        if following is None:
            self._say(connection, mail.body + _TERMINATOR, _DOT, now)
            return
        data = b"%b.\r\n%b%bDATA\r\n" % (mail.body, following.mail, following.rcpt)
        self.writes.append((connection, data))
        self._owe(connection, now, _ROUND)

    def _hear_dot(self, connection: Connection, reply: Reply, now: float) -> ServerUnusable | None:
        """Take the reply that settles a mail."""
        code = reply[0]
        is_early = not connection.dot_has_left()
        if code == GARBLED or 300 <= code < 400 or (is_early and code < 300):
            connection.before_dot = -1  # whatever the server meant, it may have the mail
            return _closing(_DOT, reply)
        self._take_answer(connection, reply, now)
        return _closing(_DOT, reply) if is_early or code == _CLOSING else None

    def _take_answer(self, connection: Connection, reply: Reply, now: float) -> None:
        """Settle the mail behind the dot by the reply to it."""
        mail = _behind_dot(connection)
        connection.behind_dot = None
        mail.replies.append((now, reply))
        mail.outcome = reply
        words = _kept(reply[1])
        self.lines.append(b"R %b %d %b\n" % (mail.key, reply[0], words))
        self._fates.answer(connection, mail, _DOT, (now - mail.dotted) * 1000)
        self.progress += 1

    def _refuse(self, connection: Connection, mail: Transaction, now: float) -> None:
        """Settle a mail that the server refused before its body."""
        connection.current = None
        connection.needs_reset = True
        stage = mail.refused_at or _DATA
        self._fates.answer(connection, mail, stage, (now - mail.begun) * 1000)
        self.progress += 1

    def _take(self, connection: Connection, now: float) -> Transaction | None:
        if self.halted is not None or now >= self._last_call or self.is_spent(connection):
            return None
        return self._fates.take(connection, now)

    def _say_envelope(self, connection: Connection, mail: Transaction, now: float) -> None:
        """Send a mail's envelope."""
        if connection.offered.pipelining:
            self.writes.append((connection, b"%b%bDATA\r\n" % (mail.mail, mail.rcpt)))
            self._owe(connection, now, _NEGOTIATION)
        else:
            self._say(connection, mail.mail, _MAIL, now)

    def _say(self, connection: Connection, data: bytes, stage: Stage, now: float) -> None:
        self.writes.append((connection, data))
        self._owe(connection, now, (stage,))

    def _owe(self, connection: Connection, now: float, stages: Iterable[Stage]) -> None:
        """Note which replies the server owes; the clock of the first one runs from now."""
        expected = connection.expected
        is_first = not expected
        expected.extend(stages)
        if is_first:
            self._arm(connection, expected[0], now)

    def _arm(self, connection: Connection, stage: Stage, now: float) -> None:
        connection.deadline = deadline = now + self.limits_s[stage]
        self.wake = min(self.wake, deadline)


def _current(connection: Connection) -> Transaction:
    mail = connection.current
    assert mail is not None  # noqa: S101 - MAIL, RCPT and DATA are only asked for a current mail
    return mail


def _behind_dot(connection: Connection) -> Transaction:
    mail = connection.behind_dot
    assert mail is not None  # noqa: S101 - a dot's reply is only owed for a mail behind it
    return mail


def _kept(text: bytes) -> bytes:
    """Return what the journal keeps of a reply: one line, no address (the file outlives erasure)."""
    line = text[:_LONGEST_TEXT].replace(b"\n", b" ")
    if b"@" not in line:
        return line
    return without_addresses(line.decode("utf-8", "replace")).encode()


def _closing(stage: Stage, reply: Reply) -> ServerUnusable:
    said = f"{reply[0] or ''} {reply[1].decode('utf-8', 'replace')}".strip()
    return ServerUnusable(f"The server gave up the connection: {said}", stage=stage, reply=reply)
