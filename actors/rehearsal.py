"""A simulated delivery: claimed, rendered, checked and recorded like any other, but never sent.

It asks no server, breaker or limit, so it consumes none of what real mail is allowed.
"""

from collections.abc import Sequence
from uuid import UUID

from actors import aftermath
from actors.aftermath import Aftermath, Done
from actors.delivery import Delivery
from actors.simulated import Rehearsed
from app.clock import utc_now
from app.ids import new_ids
from app.lifecycle.states import State
from app.queueing.payloads import AssembledMail
from app.sending import simulation
from app.sending.outcome import Claimed, decide, poisoned
from app.sending.simulation import Play
from app.smtp.connection import Capabilities, Stage
from app.smtp.transaction import Attempt, LocalRefusal, Verdict, prepare

# The simulator takes what any server might.
_OFFERED = Capabilities(smtputf8=True, eight_bit=True)


class Rehearsal(Delivery):
    """A chunk of simulated mails."""

    def send(self, lot: Sequence[AssembledMail]) -> None:
        """Play one micro-batch; the outcome is recorded with the next claim."""
        held = self._claim(lot)
        mails = [mail for mail in lot if mail.email_id in held]
        now, policy = utc_now(), self._route.policy
        done: list[Done] = []
        rehearsed: list[Rehearsed] = []
        for mail, event in zip(mails, new_ids(len(mails), now), strict=True):
            claimed = held[mail.email_id]
            play = self._play(mail, claimed)
            outcome = decide(claimed, play.attempt, policy, now=now, event_id=event)
            self._pending.append(outcome)
            self.tally[outcome.kind] += 1
            done.append(Done(mail=mail, held=claimed, result=play.attempt, outcome=outcome))
            is_sent = outcome.target is State.SENT
            rehearsed.append(self._rehearsed(mail.email_id, play, is_sent))
        self._after = Aftermath(
            rehearsed=tuple(rehearsed), copies=aftermath.copies_of(done, self._letter)
        )

    def _play(self, mail: AssembledMail, held: Claimed) -> Play:
        if held.is_poison:
            return Play(attempt=poisoned(held))
        prepared = prepare(0, self._envelope(mail, held), _OFFERED)
        if isinstance(prepared, LocalRefusal):
            return Play(attempt=_refused(prepared))
        return simulation.play(mail.to, held.attempt)

    def _rehearsed(self, email_id: UUID, play: Play, is_sent: bool) -> Rehearsed:  # noqa: FBT001 - a fact
        links = self._letter.compiled.links
        return Rehearsed(
            email_id=email_id,
            is_sent=is_sent,
            evidence=play.evidence,
            link=links[0] if links else None,
        )


def _refused(refusal: LocalRefusal) -> Attempt:
    return Attempt(verdict=Verdict.REFUSED, code=refusal.code, text=refusal.text, stage=Stage.LOCAL)
