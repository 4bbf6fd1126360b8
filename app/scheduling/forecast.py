"""When mails will go: the limits of their senders played through without a clock.

The rules are those of the release: the highest priority first and within it the longest due; the
limits of senders (app/scheduling/senders) and what they share (app/scheduling/shares); windows
that close before a mail's turn. Nothing is random, so the same facts give the same answer. Mails
that are due together and go on alike move in lots, so a forecast costs by the lot. Times are
milliseconds inside; the answer is meant to the minute. A sender without limits takes no time, and
what other campaigns will plan later, or send through other accounts, is not known here.
"""

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.scheduling.calendar import Window, next_open
from app.scheduling.senders import HORIZON_MS, RATIONS, Line, Lot, SenderLimits, Slot
from app.scheduling.shares import MINUTE_MS, Bound, Shares, millis, moment

_NO_END = 1 << 62
_ALL = 1 << 31


class Run(NamedTuple):
    """Mails of one step that go from a moment on, `gap_ms` apart, and what they waited for if late."""

    at_ms: int
    position: int
    mails: int
    bound: Bound | None
    gap_ms: int = 0

    @property
    def times(self) -> range | list[int]:
        """When each of them goes."""
        if not self.gap_ms:
            return [self.at_ms] * self.mails
        return range(self.at_ms, self.ends_at_ms + 1, self.gap_ms)

    @property
    def ends_at_ms(self) -> int:
        """When the last of them goes."""
        return self.at_ms + (self.mails - 1) * self.gap_ms


# The slot of the step after (kind, position), sent at a time, and what kept it shut until then;
# None when it was the last step.
Follow = Callable[[int, int, int], tuple[Slot, Bound | None] | None]
# The next slot of a kind, from a time on.
Reopen = Callable[[int, int], Slot]


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


class Simulation:
    """Places mails through the limits of their senders and what these share.

    `domains`: of each kind, the slowed recipient domain its people have, if any.
    """

    def __init__(
        self,
        senders: Sequence[SenderLimits],
        domains: Sequence[str | None],
        *,
        shares: Shares,
        follow: Follow,
        reopen: Reopen,
    ) -> None:
        self._senders = senders
        self._grain = 1
        self._domains = domains
        self._shares = shares
        self._follow = follow
        self._reopen = reopen
        self._runs: list[Run] = []

    def run(self, lots: Sequence[Lot], now_ms: int, grain: int) -> list[Run]:
        """Return when the mails of this campaign go, in the order of time.

        `grain`: so many people may change places; 1 keeps to the order of the release.
        """
        self._grain = grain
        lines = [Line(limits, now_ms) for limits in self._senders]
        for lot in lots:
            lines[lot.sender].append_apart(lot)
        self._runs = []
        turns = [(at, n) for n, line in enumerate(lines) if (at := line.candidate()) is not None]
        heapify(turns)
        while turns and turns[0][0] <= now_ms + HORIZON_MS:
            at, number = turns[0]
            line = lines[number]
            self._step(line, at)
            following = line.candidate()
            if following is None:
                heappop(turns)
            elif following != at:
                heapreplace(turns, (following, number))
        return sorted(self._runs, key=_time_of)

    def _step(self, line: Line, at: int) -> None:
        lot, line.now = line.first(at), at
        if lot.kind is not None and lot.slot[1] is not None and lot.slot[1] <= at:
            line.drop()
            self._move(line, lot, self._reopen(lot.kind, at), Bound.WINDOW)
            return
        refusal = self._shares.refusal(at) if self._shares.are_limited else None
        if refusal is not None:
            line.now, line.why = refusal
            return
        most, until = _ALL, _NO_END
        if self._shares.are_limited:
            most, until = self._shares.room(at), _next_minute(at)
        domain = None if lot.kind is None else self._domains[lot.kind]
        if domain is not None:
            most, until = min(most, self._shares.room_of(domain, at)), _next_minute(at)
            if most <= 0:
                line.drop()
                self._move(line, lot, (until, lot.slot[1]), Bound.DOMAIN)
                return
        self._send(line, lot, at, line.length(lot, at, most, until))

    def _move(self, line: Line, lot: Lot, slot: Slot, why: Bound) -> None:
        mails = lot.mails - lot.gone
        # A slowed domain's mails all wait for the next minute, again and again: in one lot.
        most = _ALL if why is Bound.DOMAIN else self._grain
        moved = Lot(lot.sender, lot.kind, mails, lot.position, slot, lot.priority, why)
        line.append(moved, most)

    def _send(self, line: Line, lot: Lot, at: int, mails: int) -> None:
        is_late, gap = at > lot.due, line.limits.min_gap_ms
        line.take(lot, at, mails)
        if self._shares.are_limited:
            self._shares.take(at, mails)
        if lot.kind is None:
            return
        if (domain := self._domains[lot.kind]) is not None:
            self._shares.take_of(domain, at, mails)
        bound = line.why if is_late else lot.waited
        if not gap or mails == 1 or (lot.spacing and not is_late):
            self._place(line, lot, Run(at, lot.position, mails, bound, gap))
            return
        self._place(line, lot, Run(at, lot.position, 1, bound))
        if line.why not in RATIONS:
            line.why = Bound.GAP
        self._place(line, lot, Run(at + gap, lot.position, mails - 1, line.why, gap))

    def _place(self, line: Line, lot: Lot, run: Run) -> None:
        """Note what goes, and let the next step of these people wait."""
        self._runs.append(run)
        kind, position = lot.kind, run.position
        first = None if kind is None else self._follow(kind, position, run.at_ms)
        if kind is None or first is None:
            return
        slot, waited = first
        following = Lot(lot.sender, kind, run.mails, position + 1, slot, lot.priority, waited)
        if not run.gap_ms or run.mails == 1:
            line.append(following, self._grain)
            return
        last = self._follow(kind, position, run.ends_at_ms)
        if waited is None and last is not None and last[1] is None and last[0][1] == slot[1]:
            following.spacing = run.gap_ms
            line.append_apart(following)
            return
        for at in run.times:
            slot, waited = self._follow(kind, position, at) or first
            one = Lot(lot.sender, kind, 1, position + 1, slot, lot.priority, waited)
            line.append(one, self._grain)


def _next_minute(at: int) -> int:
    return (at // MINUTE_MS + 1) * MINUTE_MS


def _time_of(run: Run) -> int:
    return run.at_ms
