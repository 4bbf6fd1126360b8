"""One sender in the forecast: the lots that wait for it, and what its limits still allow. Pure.

The rules are those of the limiter: a rolling hour of 61 minutes' cells, the UTC day with its
warm-up, the minimum gap. Times are Unix milliseconds.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from app.policy.warmup import WarmUp, daily_limit
from app.scheduling.shares import DAY_MS, MINUTE_MS, Bound, moment

HORIZON_MS = 400 * DAY_MS
RATIONS = (Bound.HOUR, Bound.DAY)

_CELLS = 61  # as in the limiter: the oldest minute counts in full

# (due, closes or None).
Slot = tuple[int, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderLimits:
    """One account: its limits, and the mails it sent, by minute (Unix time / 60 s)."""

    hourly_limit: int | None
    daily_limit: int | None
    min_gap_ms: int
    ramp: WarmUp | None
    sent_by_minute: Mapping[int, int]


@dataclass(slots=True, eq=False)
class Lot:
    """Mails of one sender that are due together and go on alike, `gone` of them already.

    `kind` indexes what the caller knows of their people; None: another campaign's mails. `waited`: what made them due as late as they are (a shut window).
    `spacing`: each is due so much after the one before, because they were sent at the sender's gap.
    """

    sender: int
    kind: int | None
    mails: int
    position: int
    slot: Slot
    priority: int
    waited: Bound | None = None
    spacing: int = 0
    gone: int = 0

    @property
    def due(self) -> int:
        """When the first who is still to go is due."""
        return self.slot[0] + self.gone * self.spacing

    @property
    def key(self) -> tuple[int | None, int, Slot, int, Bound | None]:
        """What mails that may share a lot have in common."""
        return self.kind, self.position, self.slot, self.priority, self.waited


class Line:
    """One sender's lots and what its limits still allow. `why`: what keeps the line back."""

    def __init__(self, limits: SenderLimits, now: int) -> None:
        self.limits = limits
        self.now = now
        self.why: Bound | None = None
        self._future: list[tuple[int, int, Lot]] = []
        self._ready: list[tuple[int, int, int, Lot]] = []  # -priority, due, order of arrival
        self._joinable: dict[object, Lot] = {}
        self._order = 0
        self._priorities: set[int] = set()
        self._cells: deque[list[int]] = deque()
        self._used = 0
        self._days: Counter[int] = Counter()
        self._last = -DAY_MS
        for minute, mails in sorted(limits.sent_by_minute.items()):
            self._days[minute * MINUTE_MS // DAY_MS] += mails
            self._cells.append([minute, mails])
            self._used += mails

    def append(self, lot: Lot, most: int) -> None:
        """Let a lot wait; it joins one below `most` that is due with it and goes on like it."""
        key = lot.key
        found = self._joinable.get(key)
        if found is not None and found.mails < most:
            found.mails += lot.mails
            return
        self.append_apart(lot)
        self._joinable[key] = lot

    def append_apart(self, lot: Lot) -> None:
        """Let a lot wait behind those that came before it, without joining one."""
        self._order += 1
        self._priorities.add(lot.priority)
        heappush(self._future, (lot.slot[0], self._order, lot))

    def candidate(self) -> int | None:
        """Return when the next mail may go at the earliest; None when there is none."""
        if not self._ready:
            if not self._future:
                return None
            self.why = None
            self.now = max(self.now, self._future[0][0])
        at, why = self._opens(self.now)
        # Inside an hour's ration mails go by the gap; what makes them late is the hour.
        if why is not None and not (why is Bound.GAP and self.why in RATIONS):
            self.why = why
        return at

    def first(self, at: int) -> Lot:
        """Return the lot whose turn it is at `at`, and leave it in the line."""
        future = self._future
        while future and future[0][0] <= at:
            due, order, lot = heappop(future)
            if self._joinable and self._joinable.get(lot.key) is lot:
                del self._joinable[lot.key]
            heappush(self._ready, (-lot.priority, due, order, lot))
        return self._ready[0][3]

    def drop(self) -> None:
        """Take the first lot out of the line."""
        heappop(self._ready)

    def length(self, lot: Lot, at: int, most: int, until: int) -> int:
        """Return how many of the first lot's mails go from `at` on, one by one at the gap.

        At most `most`, none of them at `until` or later. An hour's ration that holds at its first
        mail holds for all of them, because counts only leave the rolling hour.
        """
        limits = self.limits
        found = min(most, lot.mails - lot.gone)
        if limits.hourly_limit is not None:
            found = min(found, limits.hourly_limit - self._used)
        of_day = self._of_day(at)
        if of_day is not None:
            found = min(found, of_day - self._days[at // DAY_MS])
        gap = limits.min_gap_ms
        if not gap or found == 1:
            return found
        if limits.daily_limit is not None or limits.ramp is not None:
            until = min(until, (at // DAY_MS + 1) * DAY_MS)
        if lot.slot[1] is not None and lot.kind is not None:
            until = min(until, lot.slot[1])
        if self._future and len(self._priorities) > 1:
            until = min(until, self._future[0][0])  # it may come first
        return min(found, max(1, -((at - until) // gap)))

    def take(self, lot: Lot, at: int, mails: int) -> None:
        """Send so many mails of the first lot, from `at` on."""
        lot.gone += mails
        if lot.gone == lot.mails:
            heappop(self._ready)
        gap = self.limits.min_gap_ms
        self.now = self._last = at + (mails - 1) * gap
        if not gap or mails == 1:
            self._count(at // MINUTE_MS, mails)
            return
        minutes = Counter((at + number * gap) // MINUTE_MS for number in range(mails))
        for minute, count in minutes.items():
            self._count(minute, count)

    def _count(self, minute: int, mails: int) -> None:
        self._days[minute * MINUTE_MS // DAY_MS] += mails
        if self.limits.hourly_limit is None:
            return
        if self._cells and self._cells[-1][0] == minute:
            self._cells[-1][1] += mails
        else:
            self._cells.append([minute, mails])
        self._used += mails

    def _opens(self, start: int) -> tuple[int, Bound | None]:
        limits, at, why = self.limits, start, None
        if self._last + limits.min_gap_ms > at:
            at, why = self._last + limits.min_gap_ms, Bound.GAP
        while at < start + HORIZON_MS:
            if limits.hourly_limit is not None:
                self._forget(at)
                if self._used >= limits.hourly_limit:
                    at, why = (self._cells[0][0] + _CELLS) * MINUTE_MS, Bound.HOUR
                    continue
            limit = self._of_day(at)
            if limit is None or self._days[at // DAY_MS] < limit:
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
        while self._cells and self._cells[0][0] <= oldest:
            self._used -= self._cells.popleft()[1]
