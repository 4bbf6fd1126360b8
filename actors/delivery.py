"""One chunk under way: what the send actor does for each micro-batch."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from uuid import UUID

from actors import admission, aftermath, runtime
from actors.aftermath import Aftermath, Done
from actors.content import Letter
from actors.gate import Gate
from actors.waiting import patiently, sleep
from app.clock import utc_now
from app.db.session import CONNECTION_LOST, Row, Session
from app.errors import DependencyUnavailable
from app.ids import new_ids
from app.lifecycle import attempts, chunks, transitions
from app.lifecycle.attempts import Outcome
from app.log import Event, logger
from app.mail.address import smtputf8_needed
from app.mail.headers import date_value
from app.mail.verp import AddressUse
from app.metrics import EMAILS_FINISHED
from app.policy import pacing
from app.policy.limits import Grant, Limit, Reservation
from app.queueing.payloads import AssembledMail, SendPayload
from app.sending import settle
from app.sending.outcome import (
    Claimed,
    asks_to_slow_down,
    decide,
    keeps_dialogue,
    poisoned,
)
from app.sending.route import Route
from app.smtp import journal as journals
from app.smtp.transaction import Attempt, Envelope, Verdict

_SHORT_WAIT = dt.timedelta(seconds=1)  # a slot this near is waited for, before the claim


class Delivery:
    """One chunk, one route, one thread. `tally` counts outcomes by kind."""

    def __init__(
        self,
        payload: SendPayload,
        route: Route,
        letter: Letter,
        read_route: Callable[[], Route],
    ) -> None:
        self.tally: Counter[str] = Counter()
        self._payload = payload
        self._route = route
        self._letter = letter
        self._read_route = read_route
        self._worker = runtime.worker_name()
        self._pending: list[Outcome] = []
        self._paces = route.paces
        self._after = Aftermath()
        self.gate = Gate(route)

    def send(self, lot: Sequence[AssembledMail]) -> None:
        """Send one micro-batch, if the server's breaker lets it; otherwise one probe at a time."""
        while lot and not self.gate.is_open:
            with self.gate.probe() as is_ours:
                if is_ours:
                    self._send(lot[:1])
            if is_ours:
                lot = lot[1:]
            elif not self.gate.is_open:
                self.hold_back(lot, self.gate.opens_at, self.gate.reason)
                return
        if lot:
            self._send(lot)

    def _send(self, lot: Sequence[AssembledMail]) -> None:
        """Admit, claim and submit; the outcome is recorded with the next claim."""
        request = admission.requested(self._route, lot, self._paces, utc_now())
        grant = self._admit(request)
        going = self._divide(lot, grant)
        if not going:
            return
        held = self._claim(going)
        mails = [mail for mail in going if mail.email_id in held]
        if admission.is_void(request, grant):
            self._decide(mails, held, admission.untried(len(mails)))
            return
        results = self._submit(mails, held)
        self._decide(mails, held, results)
        tried = {
            mail.email_id
            for mail, result in zip(mails, results, strict=True)
            if result.verdict is not Verdict.UNTRIED
        }
        left = [mail for mail in going if mail.email_id not in tried]
        admission.settle(self._route, request, grant, left)

    @property
    def answered(self) -> int:
        """How many mails the server has answered, whatever it said."""
        return self.tally["sent"] + self.tally["deferred"] + self.tally["failed"]

    def record(self) -> None:
        """Record what is pending, however long PostgreSQL is away; a repeat changes nothing."""
        pending, after = self._pending, self._after
        self._pending, self._after = [], Aftermath()
        if not pending:
            return
        patiently(lambda session: aftermath.record(session, self._payload, pending, after))
        runtime.journal().settled(outcome.email_id.hex for outcome in pending)

    def hold_back(
        self, mails: Sequence[AssembledMail], due_at: dt.datetime | str, reason: str
    ) -> None:
        """Return queued mails to scheduled; no attempt is consumed."""
        if not mails:
            return

        def write(session: Session) -> None:
            with session.transaction():
                ids = [mail.email_id for mail in mails]
                back = transitions.hold_back(session, ids, due_at=due_at, reason=reason)
                chunks.settle(session, self._payload.chunk_id, back)

        patiently(write)
        self.tally["held_back"] += len(mails)

    # ---- admit --------------------------------------------------------------------------------

    def _admit(self, request: Reservation) -> Grant:
        """Reserve slots; waits a moment for one that is near, with nothing claimed or pending."""
        grant = self._reserve(request)
        if grant.granted == 0 and grant.binding is Limit.ACCOUNT_GAP and grant.next_slot_at:
            wait = grant.next_slot_at - utc_now()
            if wait < _SHORT_WAIT:
                self.record()
                sleep(max(0.0, wait.total_seconds()))
                grant = self._reserve(request)
        return grant

    def _reserve(self, request: Reservation) -> Grant:
        return admission.reserve(request, self._payload.chunk_id)

    def _divide(self, lot: Sequence[AssembledMail], grant: Grant) -> list[AssembledMail]:
        """Return the mails that may go; the others wait for the slot the limiter named.

        Nobody waits for a limit that was changed since the route was read.
        """
        going, waiting = admission.divided(lot, grant, self._paces)
        if waiting and self._is_outdated():
            self.hold_back([one.mail for one in waiting], utc_now(), "limits changed")
            return going
        for (due_at, reason), group in groupby(waiting, key=lambda one: (one.due_at, one.reason)):
            self.hold_back([one.mail for one in group], due_at, reason)
        return going

    def _is_outdated(self) -> bool:
        """Read the route anew; tell whether its limits are others."""
        before, self._route = self._route, self._read_route()
        self._paces = self._route.paces
        return not self._route.has_limits_of(before)

    # ---- claim --------------------------------------------------------------------------------

    def _claim(self, mails: Sequence[AssembledMail]) -> dict[UUID, Claimed]:
        """Record the last micro-batch and claim this one: one commit; what is not ours is skipped."""
        ids = sorted(mail.email_id for mail in mails)
        runtime.journal().claim(email_id.hex for email_id in ids)
        rows = self._record_and_claim(ids)
        held = {row[0]: Claimed._make(row) for row in rows}
        if skipped := [email_id for email_id in ids if email_id not in held]:
            runtime.journal().settled(email_id.hex for email_id in skipped)
            chunk_id = self._payload.chunk_id
            patiently(lambda session: chunks.settle(session, chunk_id, len(skipped)))
        return held

    def _record_and_claim(self, ids: Sequence[UUID]) -> list[Row]:
        if self._after or not self._pending:
            self.record()
            return self._claim_alone(ids)
        pending, chunk_id = self._pending, self._payload.chunk_id
        try:
            rows = attempts.record_and_claim(
                runtime.session(), pending, chunk_id, ids, self._worker
            )
        except (*CONNECTION_LOST, DependencyUnavailable):
            self.record()
            return patiently(lambda session: attempts.claim_again(session, ids, self._worker))
        self._pending = []
        runtime.journal().settled(outcome.email_id.hex for outcome in pending)
        return rows

    def _claim_alone(self, ids: Sequence[UUID]) -> list[Row]:
        try:
            return attempts.claim(runtime.session(), ids, self._worker)
        except (*CONNECTION_LOST, DependencyUnavailable):
            return patiently(lambda session: attempts.claim_again(session, ids, self._worker))

    # ---- submit -------------------------------------------------------------------------------

    def _submit(
        self, mails: Sequence[AssembledMail], held: Mapping[UUID, Claimed]
    ) -> list[Attempt]:
        """Return what became of each mail, in order; what ended its workers before is not tried."""
        sound = [mail for mail in mails if not held[mail.email_id].is_poison]
        results = iter(self._submit_all(sound, held))
        return [
            poisoned(held[mail.email_id]) if held[mail.email_id].is_poison else next(results)
            for mail in mails
        ]

    def _submit_all(
        self, mails: Sequence[AssembledMail], held: Mapping[UUID, Claimed]
    ) -> list[Attempt]:
        if not mails:
            return []
        envelopes = [self._envelope(mail, held[mail.email_id]) for mail in mails]
        try:
            group = runtime.smtp_pool().group(self._route.server)
            results = group.submit(envelopes, runtime.journal())
        except BaseException:
            self._settle_from_journal(held)
            raise
        return results

    def _envelope(self, mail: AssembledMail, held: Claimed) -> Envelope:
        date = date_value(held.first_claimed_at)
        coded = runtime.coded_domain()
        sender = coded.address(AddressUse.BOUNCE, mail.email_id) if coded else self._route.address
        return Envelope(
            key=b"%b %d" % (mail.email_id.hex.encode(), held.fence),
            mail_from=sender.encode(),
            rcpt_to=mail.to.encode(),
            envid=mail.email_id.hex.encode() if coded else b"",
            render=lambda: self._letter.render(mail.slots, date),
            smtputf8=self._letter.compiled.is_international or smtputf8_needed(mail.to),
            keeps_dialogue=keeps_dialogue(mail.email_id),
        )

    def _settle_from_journal(self, held: Mapping[UUID, Claimed]) -> None:
        """Something unforeseen broke the submit: the journal knows which mails left."""
        journal = runtime.journal()
        said = settle.testimony(journal.name, journals.read(journal.path))
        ours = replace(said, claimed=frozenset(held))
        patiently(lambda session: settle.settle(session, ours, utc_now()))
        journal.settled(email_id.hex for email_id in held)

    def _decide(
        self,
        mails: Sequence[AssembledMail],
        held: Mapping[UUID, Claimed],
        results: Sequence[Attempt],
    ) -> None:
        now = utc_now()
        policy = self._route.policy
        done: list[Done] = []
        for mail, result, event in zip(mails, results, new_ids(len(mails), now), strict=True):
            claimed = held[mail.email_id]
            outcome = decide(claimed, result, policy, now=now, event_id=event)
            self._pending.append(outcome)
            self.tally[outcome.kind] += 1
            EMAILS_FINISHED.labels(outcome.kind).inc()
            done.append(Done(mail=mail, held=claimed, result=result, outcome=outcome))
        self._after = aftermath.of(done, self._letter)
        self.gate.heard(results)
        self._slow_down(mails, results)

    def _slow_down(self, mails: Sequence[AssembledMail], results: Sequence[Attempt]) -> None:
        """Slow the domains whose servers ask for it, at once and for every worker."""
        replies = {
            mail.domain: f"{result.code} {result.text}"
            for mail, result in zip(mails, results, strict=True)
            if asks_to_slow_down(result)
        }
        if replies:
            app_id, now = self._route.app_id, utc_now()
            patiently(lambda session: pacing.slow(session, app_id, replies, now))
            self._route = self._read_route()  # for this process's other threads, too
            self._paces = self._route.paces
            logger().warning(Event.DOMAIN_SLOWED, app_id=str(app_id), domains=sorted(replies))
