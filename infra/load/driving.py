"""A route under load: at full speed with its CPU per request, then at half of it for the p99."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra.load import steady, wrk
from infra.load.stand import Stand
from infra.load.usage import Meter, Spent
from infra.load.wrk import Answered, Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """What a route did at full speed, with its CPU per request, and at half; `requests` = all."""

    full: Answered
    half: Answered
    spent: Spent
    requests: int


def drive(stand: Stand, load: Load, pids: Mapping[str, int]) -> Driven:
    """Warm up, then full speed, then half of it; every answer of the three counts."""
    seconds = stand.sizes.load_s
    warm = wrk.drive(replace(load, seconds=1), stand.folder)
    meter = Meter(pids)
    full = wrk.drive(replace(load, seconds=seconds), stand.folder)
    spent = meter.spent(full.requests)
    half = _half(stand, replace(load, seconds=seconds), full.per_s / 2)
    requests = warm.requests + full.requests + half.requests
    return Driven(full=full, half=half, spent=spent, requests=requests)


def _half(stand: Stand, load: Load, per_s: float) -> Answered:
    """Put half of the full rate on the route: by wrk where no Python program could."""
    if per_s > steady.MOST_PER_S:
        return wrk.drive(replace(load, per_s=per_s), stand.folder)
    return steady.drive(load, per_s)
