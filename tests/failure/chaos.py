"""`./run chaos --minutes N --seed S`: every fault, again and again, longer and harder than the suite.

Every fault is tried once, with `--kills` random kills of workers, and then again until the time is
over. Prints a row per trial and a table at the end, and with `--json` the same as a file; exits 1
when anything was lost, sent twice, or more unknown than connections were open. Runs on services of
its own and ends by itself: no trial lasts longer than its own deadlines.
"""

import dataclasses
import itertools
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import click

from tests.failure.faults import FAULTS, Trial, strike
from tests.failure.killable import Services
from tests.failure.stand import Count, Stand

KILLS, _AT_ONCE = "worker killed at random", 25

_HEAD = f"{'fault':42} {'planned':>8} {'arrived':>8} {'lost':>5} {'doubled':>8} {'unknown':>8} {'open':>6} {'off by':>7}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One trial: its fault, and how often it strikes."""

    name: str
    rounds: int


def _row(count: Count) -> str:
    return (
        f"{count.fault:42} {count.planned:8,} {count.arrived:8,} {count.lost:5} {count.doubled:8}"
        f" {count.unknown:8} {count.open_at_kill:6} {count.off_by:7}"
    )


def _try(services: Services, folder: Path, plan: Planned, rng: random.Random) -> Count:
    """Let one fault strike a fresh stand; what could not even be counted is a violation too."""
    stand = Stand(services, folder, plan.name)
    try:
        stand.office.pace_s = rng.choice((0.02, 0.1, 0.3))
        trial = Trial(stand=stand, campaign=stand.plan(1_000), rng=rng, rounds=plan.rounds)
        try:
            strike(trial, [plan.name])
        except Exception as error:  # noqa: BLE001 - a broken trial is a row of its own
            stand.wrong.append(f"the trial broke: {type(error).__name__}: {error}"[:300])
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
        notes=[note for c in counts for note in c.notes],
    )


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="No fault is repeated after this.")
@click.option("--seed", default=1, show_default=True, help="The same seed, the same harm.")
@click.option("--kills", default=200, show_default=True, help="Random kills of workers, at least.")
@click.option("--only", multiple=True, help="Only faults whose name holds this; may be repeated.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the rows here, too.")
def main(minutes: float, seed: int, kills: int, only: tuple[str, ...], path: Path | None) -> None:
    """Let every fault strike until the time is over; exits 1 when the promise was broken."""
    names = [name for name in FAULTS if not only or any(word in name for word in only)]
    counts: dict[str, list[Count]] = defaultdict(list)
    first = _once(names, kills)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        services = Services(Path(folder, "services"))
        ends_at = time.monotonic() + minutes * 60
        try:
            for number, plan in enumerate(itertools.chain(first, _endlessly(names))):
                if number >= len(first) and time.monotonic() > ends_at:
                    break
                rng = random.Random(f"{seed} {number} {plan.name}")
                count = _try(services, Path(folder, f"trial-{number}"), plan, rng)
                counts[plan.name].append(count)
                said = "; ".join([*count.notes, *count.violations])
                click.echo(f"{_row(count)} {count.seconds:6.1f} s {said}")
        finally:
            services.close()
    if path is not None:
        path.write_text(json.dumps(_document(seed, counts), indent=2))
    sys.exit(_conclude(names, counts))


def _once(names: list[str], kills: int) -> list[Planned]:
    """Return every fault once, the random kills in trials of 25."""
    planned = []
    for name in names:
        if name != KILLS:
            planned.append(Planned(name=name, rounds=4))
            continue
        whole, rest = divmod(kills, _AT_ONCE)
        rounds = [_AT_ONCE] * whole + ([rest] if rest else [])
        planned += [Planned(name=name, rounds=number) for number in rounds]
    return planned


def _endlessly(names: list[str]):
    while True:
        for name in names:
            yield Planned(name=name, rounds=_AT_ONCE if name == KILLS else 4)


def _document(seed: int, counts: dict[str, list[Count]]) -> dict[str, object]:
    """Return the run as it is written: each trial in its order within its fault."""
    trials = [
        dataclasses.asdict(count) | {"violations": count.violations}
        for found in counts.values()
        for count in found
    ]
    broken = any(trial["violations"] for trial in trials)
    return {"seed": seed, "is_kept": not broken, "trials": trials}


def _conclude(names: list[str], counts: dict[str, list[Count]]) -> int:
    """Print the table; return the exit code."""
    totals = [_total(name, counts[name]) for name in names if counts[name]]
    click.echo("\n".join(["", _HEAD, *map(_row, totals), _row(_total("all", totals))]))
    broken = [f"{total.fault}: {wrong}" for total in totals for wrong in total.wrong]
    click.echo("\n".join(broken) or "Nothing lost, nothing sent twice, every ledger balances.")
    return 1 if broken else 0


if __name__ == "__main__":
    main()
