"""The demo's readers at work: one thread that polls the inbox and does what `audience` decided."""

import heapq
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from app.clock import monotonic_s, utc_now
from app.demo.audience import Act, Deed, acts
from app.demo.mailbox import Arrived, Contents, Mailbox, request
from app.demo.proof import Arrival
from app.errors import DependencyUnavailable, MailqueueError

_POLL_S = 0.25
_PATIENCE_S = 20.0

Answer = TypeVar("Answer")


class Readers(threading.Thread):
    """Reads every mail that arrives after number `after`; what was done is kept for the proof.

    `arrived[step]` lists arrivals, `goodbyes` when an unsubscribe was answered, `done[name][step]` holds the recipients whose mail of that
    step was opened, opened_human, clicked, clicked_human or unsubscribed.
    """

    def __init__(self, mailbox: Mailbox, after: int, subjects: Sequence[str]) -> None:
        super().__init__(name="readers", daemon=True)
        self.arrived: defaultdict[int, list[Arrival]] = defaultdict(list)
        self.goodbyes: dict[str, int] = {}
        self.done: defaultdict[str, defaultdict[int, set[str]]] = defaultdict(
            lambda: defaultdict(set)
        )
        self.error: MailqueueError | None = None
        self.requests = 0
        self._mailbox = mailbox
        self._after = after
        self._subjects = subjects
        self._waiting: list[tuple[float, int, Act, str, int, Contents]] = []
        self._order = itertools.count()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Poll and act until `stop`; an error ends the thread and is kept."""
        try:
            while not self._stopped.is_set():
                page = self._patiently(lambda: self._mailbox.after(self._after))
                for mail in page:
                    self._take(mail)
                    self._act(monotonic_s())
                self._act(monotonic_s())
                self._stopped.wait(0 if page else _POLL_S)
        except MailqueueError as error:
            self.error = error

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopped.set()
        self.join(15)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to be done with the mails that arrived."""
        return not self._waiting

    def step_of(self, subject: str) -> int:
        """Return the step a subject belongs to, from 1; 0 for a mail that is none of ours."""
        found = (number for number, text in enumerate(self._subjects, 1) if text in subject)
        return next(found, 0)

    def _take(self, mail: Arrived) -> None:
        self._after = mail.seq
        step = self.step_of(mail.subject)
        if not step:
            return
        self.arrived[step].append(Arrival(recipient=mail.recipient, at_ms=mail.at_ms))
        planned = acts(mail.recipient, step)
        if not planned:
            return
        contents = self._patiently(lambda: self._mailbox.contents(mail.seq))
        for act in planned:
            due_s = monotonic_s() + act.delay_s
            entry = (due_s, next(self._order), act, mail.recipient, step, contents)
            heapq.heappush(self._waiting, entry)

    def _act(self, now_s: float) -> None:
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, act, recipient, step, contents = self._waiting[0]
            self._do(act, contents)
            self._note(act, recipient, step)
            heapq.heappop(self._waiting)

    def _do(self, act: Act, contents: Contents) -> None:
        """Make the request of one act; raises DependencyUnavailable for an unexpected answer."""
        match act.deed:
            case Deed.OPEN:
                method, url, body, expected = "GET", contents.pixel, None, 200
            case Deed.CLICK:
                method, url, body, expected = "GET", next(iter(contents.links), None), None, 302
            case Deed.UNSUBSCRIBE:
                method, url, expected = "POST", contents.unsubscribe, 200
                body = "List-Unsubscribe=One-Click"
        if url is None:
            raise DependencyUnavailable(f"A mail has nothing to {act.deed}.", why="No such URL.")
        target = url
        status, _ = self._patiently(lambda: request(method, target, act.user_agent, body))
        self.requests += 1
        if status != expected:
            raise DependencyUnavailable(
                f"{method} to {act.deed} answered {status}, not {expected}.",
                fix="Look into the tracking process's log.",
            )

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        """Return what `call` answers, trying again while a process is being restarted."""
        ends_s = monotonic_s() + _PATIENCE_S
        while True:
            try:
                return call()
            except DependencyUnavailable:
                if monotonic_s() > ends_s or self._stopped.wait(_POLL_S):
                    raise

    def _note(self, act: Act, recipient: str, step: int) -> None:
        names = {Deed.OPEN: "opened", Deed.CLICK: "clicked", Deed.UNSUBSCRIBE: "unsubscribed"}
        name = names[act.deed]
        self.done[name][step].add(recipient)
        if act.deed is Deed.UNSUBSCRIBE:
            self.goodbyes[recipient] = int(utc_now().timestamp() * 1000)
        if act.is_human and act.deed is not Deed.UNSUBSCRIBE:
            self.done[f"{name}_human"][step].add(recipient)
