"""How many mails one peer may hand over: a bucket per address that fills evenly over a minute."""

from collections import OrderedDict

_MOST_PEERS = 10_000


class PeerRate:
    """The buckets of all peers; `now_s` is monotonic. The peers seen last are remembered."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def takes(self, peer: str, now_s: float) -> bool:
        """Tell whether a peer may hand over one more mail now, and count it."""
        level, seen_s = self._buckets.pop(peer, (float(self._per_minute), now_s))
        level = min(self._per_minute, level + (now_s - seen_s) * self._per_minute / 60)
        may = level >= 1
        self._buckets[peer] = (level - 1 if may else level, now_s)
        if len(self._buckets) > _MOST_PEERS:
            self._buckets.popitem(last=False)
        return may
