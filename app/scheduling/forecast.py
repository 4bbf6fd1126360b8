"""When mails will go: the limits of their senders played through, mail by mail, without a clock.

The rules are those of the release: the highest priority first and within it the longest due; a
rolling hour of 61 minutes' cells, the UTC day with its warm-up, the minimum gap; windows that
close before a mail's turn. Nothing is random, so the same facts give the same answer. Times are
milliseconds inside; the answer is meant to the minute. A sender without limits takes no time, and
what other campaigns will plan later is not known here.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.policy.warmup import WarmUp, daily_limit
from app.scheduling.calendar import Window, next_open
from app.scheduling.shares import DAY_MS, MINUTE_MS, Bound, Shared, Shares, millis, moment

_CELLS = 61  # as in the limiter: the oldest minute counts in full
_HORIZON_MS = 400 * DAY_MS

# (due, closes or None) in milliseconds.
Slot = tuple[int, int | None]

_RATIONS = (Bound.HOUR, Bound.DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderLimits:
    """One account: its limits, and the mails it sent, by minute (Unix time / 60 s)."""

    hourly_limit: int | None
    daily_limit: int | None
    min_gap_ms: int
    ramp: WarmUp | None
    sent_by_minute: Mapping[int, int]


@dataclass(slots=True, kw_only=True, eq=False)
class Wanted:
    """A mail to be placed. `person` indexes the caller's list; None: another campaign's mail.

    `waited`: what made it due as late as it is (a shut window). Not frozen: the simulation moves
    the same object on to its next slot and step, a million times.
    """

    sender: int
    person: int | None
    position: int
    slot: Slot
    priority: int
    waited: Bound | None = None


class Placed(NamedTuple):
    """When a mail goes, and what it waited for if it goes later than it was due."""

    at_ms: int
    person: int
    position: int
    bound: Bound | None


# The slot of the step after (person, position), sent at a time, and whether a window kept it
# shut until then; None when it was the last step.
Follow = Callable[[int, int, int], tuple[Slot, Bound | None] | None]
Reopen = Callable[[int, int], Slot]

_Mail = tuple[int, int, int, Wanted]  # -priority, due, order of arrival, mail


class Openings:
    """When the sending window is open, by zone; remembers the stretch it looked at last."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._known: dict[str, tuple[int, Slot]] = {}

    def slot(self, zone: ZoneInfo, at_ms: int) -> Slot:
        """Return the first moment from `at_ms` on inside the window, and when it closes."""
        if self._window.is_always_open:
            return at_ms, None
        known = self._known.get(zone.key)
        if known is not None and known[0] <= at_ms < (known[1][1] or 0):
            return max(at_ms, known[1][0]), known[1][1]
        found = next_open(self._window, zone, moment(at_ms))
        slot = (millis(found.opens_at), millis(found.closes_at) if found.closes_at else None)
        self._known[zone.key] = (at_ms, slot)
        return slot


@dataclass(slots=True)
class _Line:
    """One sender's mails and what its limits still allow."""

    limits: SenderLimits
    now: int
    future: list[tuple[int, int, Wanted]] = field(default_factory=list)
    ready: list[_Mail] = field(default_factory=list)
    cells: deque[list[int]] = field(default_factory=deque)
    used: int = 0
    days: Counter[int] = field(default_factory=Counter)
    last: int = -DAY_MS
    why: Bound | None = None

    def remember(self) -> None:
        """Count what was sent before."""
        for minute, mails in sorted(self.limits.sent_by_minute.items()):
            self.days[minute * MINUTE_MS // DAY_MS] += mails
            self.cells.append([minute, mails])
            self.used += mails

    def candidate(self) -> int | None:
        """Return when the next mail may go at the earliest; None when there is none."""
        if not self.ready:
            if not self.future:
                return None
            self.why = None
            self.now = max(self.now, self.future[0][0])
        at, why = self._opens(self.now)
        # Inside an hour's ration mails go by the gap; what makes them late is the hour.
        if why is not None and not (why is Bound.GAP and self.why in _RATIONS):
            self.why = why
        return at

    def _opens(self, start: int) -> tuple[int, Bound | None]:
        limits, at, why = self.limits, start, None
        if self.last + limits.min_gap_ms > at:
            at, why = self.last + limits.min_gap_ms, Bound.GAP
        while at < start + _HORIZON_MS:
            if limits.hourly_limit is not None:
                self._forget(at)
                if self.used >= limits.hourly_limit:
                    at, why = (self.cells[0][0] + _CELLS) * MINUTE_MS, Bound.HOUR
                    continue
            limit = self._of_day(at)
            if limit is None or self.days[at // DAY_MS] < limit:
                break
            at, why = (at // DAY_MS + 1) * DAY_MS, Bound.DAY
        return at, why

    def _of_day(self, at: int) -> int | None:
        limits = self.limits
        if limits.ramp is None:
            return limits.daily_limit
        return daily_limit(limits.daily_limit, limits.ramp, moment(at).date())

    def _forget(self, at: int) -> None:
        oldest = at // MINUTE_MS - _CELLS
        while self.cells and self.cells[0][0] <= oldest:
            self.used -= self.cells.popleft()[1]

    def first(self, at: int) -> Wanted:
        """Return the mail whose turn it is at `at`, and leave it in the line."""
        while self.future and self.future[0][0] <= at:
            due, order, mail = heappop(self.future)
            heappush(self.ready, (-mail.priority, due, order, mail))
        return self.ready[0][3]

    def take(self, at: int) -> None:
        """Send the first mail."""
        heappop(self.ready)
        self.now = self.last = at
        minute = at // MINUTE_MS
        self.days[at // DAY_MS] += 1
        if self.limits.hourly_limit is not None:
            if self.cells and self.cells[-1][0] == minute:
                self.cells[-1][1] += 1
            else:
                self.cells.append([minute, 1])
            self.used += 1


class Simulation:
    """Places mails through the limits of their senders and what these share."""

    def __init__(
        self,
        senders: Sequence[SenderLimits],
        *,
        now_ms: int,
        shared: Shared,
        follow: Follow,
        reopen: Reopen,
    ) -> None:
        self._lines = [_Line(limits, now_ms) for limits in senders]
        for line in self._lines:
            line.remember()
        self._now = now_ms
        self._common = Shares(shared, now_ms)
        self._follow = follow
        self._reopen = reopen
        self._order = 0

    def run(self, mails: Sequence[Wanted]) -> Iterator[Placed]:
        """Yield when each mail of this campaign goes, in the order of time."""
        for mail in mails:
            self._append(mail)
        turns = [(at, n) for n, line in enumerate(self._lines) if (at := line.candidate())]
        heapify(turns)
        while turns:
            at, number = turns[0]
            if at > self._now + _HORIZON_MS:
                return
            line = self._lines[number]
            placed = self._step(line, at)
            if placed is not None:
                yield placed
            following = line.candidate()
            if following is None:
                heappop(turns)
            elif following != at:
                heapreplace(turns, (following, number))

    def _step(self, line: _Line, at: int) -> Placed | None:
        mail = line.first(at)
        due, closes = mail.slot
        if closes is not None and closes <= at and mail.person is not None:
            heappop(line.ready)
            mail.slot, mail.waited = self._reopen(mail.person, at), Bound.WINDOW
            self._append(mail)
            return None
        refusal = self._common.refusal(at)
        if refusal is not None:
            line.now, line.why = refusal
            return None
        line.take(at)
        self._common.take(at)
        if mail.person is None:
            return None
        placed = Placed(at, mail.person, mail.position, line.why if at > due else mail.waited)
        following = self._follow(mail.person, mail.position, at)
        if following is not None:
            mail.position += 1
            mail.slot, mail.waited = following
            self._append(mail)
        return placed

    def _append(self, mail: Wanted) -> None:
        self._order += 1
        heappush(self._lines[mail.sender].future, (mail.slot[0], self._order, mail))
