"""The books of one submit(): which mails are left to do, and what became of the others."""

from collections import Counter, deque
from collections.abc import Sequence

from app.smtp.connection import Connection, ServerUnusable, Stage
from app.smtp.transaction import Attempt, Envelope, LocalRefusal, Transaction, Verdict, prepare

_MOST_TRIES = 2


class Fates:
    """Mails by their place in the submitted sequence; each gets exactly one Attempt."""

    def __init__(self, envelopes: Sequence[Envelope], host: str) -> None:
        self.todo = deque(range(len(envelopes)))
        self._envelopes = envelopes
        self._host = host
        self._attempts: dict[int, Attempt] = {}
        self._losses: Counter[int] = Counter()

    @property
    def missing(self) -> int:
        """Return how many mails have no fate yet."""
        return len(self._envelopes) - len(self._attempts)

    def in_order(self) -> list[Attempt]:
        """Return every mail's attempt, in the order of submission."""
        return [self._attempts[index] for index in range(len(self._envelopes))]

    def take(self, connection: Connection, now: float) -> Transaction | None:
        """Make the next mail the connection's current one, refusing on the way what cannot be sent."""
        while self.todo:
            index = self.todo.popleft()
            mail = prepare(index, self._envelopes[index], connection.offered)
            if isinstance(mail, LocalRefusal):
                self._attempts[index] = Attempt(
                    verdict=Verdict.REFUSED, code=mail.code, text=mail.text, stage=Stage.LOCAL
                )
                continue
            mail.begun = now
            connection.current = mail
            connection.mails += 1
            return mail
        return None

    def answer(
        self, connection: Connection, mail: Transaction, stage: Stage, elapsed_ms: float
    ) -> None:
        """Settle a mail by the server's reply in `mail.outcome`."""
        code, text = mail.outcome
        self._settle(connection, mail, (_verdict(code), stage, code, text), elapsed_ms)

    def lose(self, connection: Connection, reason: ServerUnusable, now: float) -> None:
        """Settle or put back the mails of a connection that is gone."""
        current, connection.current = connection.current, None
        behind, connection.behind_dot = connection.behind_dot, None
        in_hand = (current is not None) + (behind is not None)
        is_suspect = connection.mails == in_hand and not connection.is_reused
        if current is not None:
            self._put_back(current, reason, charge=is_suspect and behind is None)
        if behind is None:
            return
        if not connection.dot_has_left():
            self._put_back(behind, reason, charge=is_suspect)
            return
        text = f"{reason.what} The final dot had been sent.".encode()
        outcome = (Verdict.UNKNOWN, Stage.DOT, reason.reply_code, text)
        self._settle(connection, behind, outcome, (now - behind.dotted) * 1000)

    def give_up(self, reason: ServerUnusable) -> None:
        """Leave every mail that is left untried."""
        fate = _untried(reason, self._host)
        self._attempts.update(dict.fromkeys(self.todo, fate))
        self.todo.clear()

    def _put_back(self, mail: Transaction, reason: ServerUnusable, *, charge: bool) -> None:
        """Let another connection try, unless the mail has cost enough of them.

        A mail is charged with the loss of a connection that had served nobody yet, when it was the
        one being answered: a server may close after any number of mails, and kept connections die.
        """
        self._losses[mail.index] += charge
        if self._losses[mail.index] >= _MOST_TRIES:
            self._attempts[mail.index] = _untried(reason, self._host)
        else:
            self.todo.appendleft(mail.index)

    def _settle(
        self,
        connection: Connection,
        mail: Transaction,
        outcome: tuple[Verdict, Stage, int, bytes],
        elapsed_ms: float,
    ) -> None:
        verdict, stage, code, text = outcome
        begun = mail.begun
        self._attempts[mail.index] = Attempt(
            verdict=verdict,
            code=code,
            text=text.decode("utf-8", "replace"),
            stage=stage,
            elapsed_ms=elapsed_ms,
            dialogue=tuple(
                [
                    (int((at - begun) * 1000), f"{number} {words.decode('utf-8', 'replace')}")
                    for at, number, words in mail.replies
                ]
            ),
            host=connection.host,
            connection_id=connection.id,
            tls=connection.tls,
        )


def _verdict(code: int) -> Verdict:
    if code < 300:
        return Verdict.ACCEPTED
    return Verdict.DEFERRED if code < 500 else Verdict.REFUSED


def _untried(reason: ServerUnusable, host: str) -> Attempt:
    return Attempt(
        verdict=Verdict.UNTRIED,
        code=reason.reply_code,
        text=str(reason),
        stage=reason.stage,
        host=host,
    )
