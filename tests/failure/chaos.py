"""`./run chaos --minutes N --seed S`: every fault, again and again, longer and harder than the suite.

Prints a row per trial and a table at the end; exits 1 when anything was lost, sent twice, or more
unknown than connections were open. Runs on services of its own and ends by itself.
"""

import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import click

from tests.failure.faults import FAULTS, Trial, strike
from tests.failure.services import Services
from tests.failure.stand import Count, Stand

_HEAD = f"{'fault':42} {'planned':>8} {'arrived':>8} {'lost':>5} {'doubled':>8} {'unknown':>8} {'open':>6} {'off by':>7}"


def _row(count: Count) -> str:
    return (
        f"{count.fault:42} {count.planned:8,} {count.arrived:8,} {count.lost:5} {count.doubled:8}"
        f" {count.unknown:8} {count.open_at_kill:6} {count.off_by:7}"
    )


def _try(services: Services, folder: Path, name: str, rng: random.Random) -> Count:
    """Let one fault strike a fresh stand; what could not even be counted is a violation too."""
    stand = Stand(services, folder, name)
    try:
        stand.office.pace_s = rng.choice((0.02, 0.1, 0.3))
        rounds = 25 if name == "worker killed at random" else 4
        trial = Trial(stand=stand, campaign=stand.plan(1_000), rng=rng, rounds=rounds)
        strike(trial, [name])
        return stand.count()
    finally:
        stand.close()
        services.restore()


def _total(name: str, counts: list[Count]) -> Count:
    return Count(
        fault=f"{name} x{len(counts)}",
        planned=sum(c.planned for c in counts),
        arrived=sum(c.arrived for c in counts),
        lost=sum(c.lost for c in counts),
        doubled=sum(c.doubled for c in counts),
        unknown=sum(c.unknown for c in counts),
        open_at_kill=sum(c.open_at_kill for c in counts),
        off_by=sum(c.off_by for c in counts),
        seconds=sum(c.seconds for c in counts),
        wrong=[w for c in counts for w in c.violations],
    )


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="No trial begins after this.")
@click.option("--seed", default=1, show_default=True, help="The same seed, the same harm.")
@click.option("--only", multiple=True, help="Only faults whose name holds this; may be repeated.")
def main(minutes: float, seed: int, only: tuple[str, ...]) -> None:
    """Let every fault strike until the time is over; exits 1 when the promise was broken."""
    names = [name for name in FAULTS if not only or any(word in name for word in only)]
    counts: dict[str, list[Count]] = defaultdict(list)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        services = Services(Path(folder, "services"))
        ends_at = time.monotonic() + minutes * 60
        try:
            for number, name in enumerate(_endlessly(names)):
                if time.monotonic() > ends_at:
                    break
                rng = random.Random(f"{seed} {number} {name}")
                count = _try(services, Path(folder, f"trial-{number}"), name, rng)
                counts[name].append(count)
                click.echo(f"{_row(count)} {count.seconds:6.1f} s {'; '.join(count.violations)}")
        finally:
            services.close()
    sys.exit(_conclude(names, counts))


def _endlessly(names: list[str]):
    while True:
        yield from names


def _conclude(names: list[str], counts: dict[str, list[Count]]) -> int:
    """Print the table; return the exit code."""
    totals = [_total(name, counts[name]) for name in names if counts[name]]
    click.echo("\n".join(["", _HEAD, *map(_row, totals), _row(_total("all", totals))]))
    unreached = [name for name in names if not counts[name]]
    if unreached:
        click.echo(f"Not reached in the time given: {', '.join(unreached)}.")
    broken = [f"{total.fault}: {wrong}" for total in totals for wrong in total.wrong]
    click.echo("\n".join(broken) or "Nothing lost, nothing sent twice, every ledger balances.")
    return 1 if broken else 0


if __name__ == "__main__":
    main()
