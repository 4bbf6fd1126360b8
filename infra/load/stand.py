"""What every part of the benchmark is given: sizes, a folder, the peers; and what it gives back."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.load.figures import Figure
from infra.load.fleet import Strength
from infra.load.node import Peers


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large each part is. Times in seconds, rows and mails in numbers."""

    rounds: int
    leads: int
    peer_mails: int
    suppressed: int
    grow_rows: tuple[int, ...]
    grow_leads: int
    rtt_ms: tuple[int, ...]
    rtt_s: float
    probes: int
    background_leads: int
    load_s: int
    import_rows: int
    batch: int
    soak_leads: int
    scale_leads: int
    stage_leads: int
    processes: int = 2

    @property
    def strength(self) -> Strength:
        """The fleet of a part that does not try several."""
        return Strength(processes=self.processes)


FULL = Sizes(
    rounds=5,
    leads=20_000,
    peer_mails=4_000,
    suppressed=1_000_000,
    grow_rows=(10_000, 1_000_000, 10_000_000),
    grow_leads=20_000,
    rtt_ms=(0, 5, 20, 50),
    rtt_s=3.0,
    probes=500,
    background_leads=100_000,
    load_s=10,
    import_rows=200_000,
    batch=10_000,
    soak_leads=1_000_000,
    scale_leads=20_000,
    stage_leads=16_000,
)
QUICK = Sizes(
    rounds=1,
    leads=6_000,
    peer_mails=1_500,
    suppressed=20_000,
    grow_rows=(10_000, 300_000),
    grow_leads=5_000,
    rtt_ms=(0, 20, 50),
    rtt_s=1.5,
    probes=60,
    background_leads=8_000,
    load_s=3,
    import_rows=30_000,
    batch=10_000,
    soak_leads=15_000,
    scale_leads=4_000,
    stage_leads=4_000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """One run: where its logs go, how large it is, and the peers when they could be installed."""

    sizes: Sizes
    folder: Path
    peers: Peers | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a part found: the lines of its table, remarks below it, all rounds for the file."""

    figures: Sequence[Figure]
    remarks: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def median(values: Iterable[float]) -> float:
    """Return the median of one or more values."""
    return statistics.median(values)
