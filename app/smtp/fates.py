"""The books of one stream: which mails are left to do, and what became of the others."""

from collections import Counter, deque
from collections.abc import Iterable

from app.smtp.connection import Connection, ServerUnusable, Stage
from app.smtp.transaction import Attempt, Envelope, LocalRefusal, Transaction, Verdict, prepare

Settled = tuple[int, Attempt]

_MOST_TRIES = 2


class Fates:
    """Mails by their number in the stream; each gets exactly one Attempt.

    `missing` holds the mails that have no fate yet, `todo` those of them that nobody has begun.
    """

    def __init__(self, host: str) -> None:
        self.todo: deque[int] = deque()
        self.missing: dict[int, Envelope] = {}
        self._host = host
        self._count = 0
        self._settled: list[Settled] = []
        self._losses: Counter[int] = Counter()

    def add(self, envelopes: Iterable[Envelope]) -> None:
        """Take mails on, numbered from where the last ones ended."""
        for envelope in envelopes:
            self.missing[self._count] = envelope
            self.todo.append(self._count)
            self._count += 1

    def take_settled(self) -> list[Settled]:
        """Return what has been settled since the last call, as it came."""
        settled, self._settled = self._settled, []
        return settled

    def take(self, connection: Connection, now: float) -> Transaction | None:
        """Make the next mail the connection's current one, refusing on the way what cannot be sent."""
        while self.todo:
            index = self.todo.popleft()
            mail = prepare(index, self.missing[index], connection.offered)
            if isinstance(mail, LocalRefusal):
                self._note(
                    index,
                    Attempt(
                        verdict=Verdict.REFUSED, code=mail.code, text=mail.text, stage=Stage.LOCAL
                    ),
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
        while self.todo:
            self._note(self.todo.popleft(), fate)

    def _put_back(self, mail: Transaction, reason: ServerUnusable, *, charge: bool) -> None:
        """Let another connection try, unless the mail has cost enough of them.

        A mail is charged with the loss of a connection that had served nobody yet, when it was the
        one being answered: a server may close after any number of mails, and kept connections die.
        """
        self._losses[mail.index] += charge
        if self._losses[mail.index] >= _MOST_TRIES:
            self._note(mail.index, _untried(reason, self._host))
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
        is_told = mail.keeps_dialogue or verdict is not Verdict.ACCEPTED
        attempt = Attempt(
            verdict=verdict,
            code=code,
            text=text.decode("utf-8", "replace"),
            stage=stage,
            elapsed_ms=elapsed_ms,
            dialogue=_dialogue(mail) if is_told else (),
            host=connection.host,
            connection_id=connection.id,
            tls=connection.tls,
        )
        self._note(mail.index, attempt)

    def _note(self, index: int, attempt: Attempt) -> None:
        del self.missing[index]
        self._settled.append((index, attempt))


def _dialogue(mail: Transaction) -> tuple[tuple[int, str], ...]:
    return tuple(
        [
            (int((at - mail.begun) * 1000), f"{code} {text.decode('utf-8', 'replace')}")
            for at, (code, text) in mail.replies
        ]
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
