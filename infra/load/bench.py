"""`./run bench`: the numbers of DESIGN section 14, measured in one run, with ratios.

    ./run bench [PART ...] [--quick] [--leads N] [--rounds N] [--no-peers] [--json FILE]

Runs on private services that are as durable as production. Each part prints a table; all of it,
with every round, goes into one JSON file. Exit code 1 when a part could not be measured.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from app import log
from app.clock import utc_now
from app.config import settings
from app.db.migrate import upgrade
from app.db.session import connect
from app.errors import MailqueueError
from infra.load import (
    api,
    grow,
    ingest,
    latency,
    machine,
    node,
    rtt,
    scale,
    send,
    sinks,
    soak,
    stages,
    steps,
    track,
)
from infra.load.figures import table
from infra.load.round import send_campaign
from infra.load.running import unwind_when_stopped
from infra.load.stand import FULL, QUICK, Measured, Sizes, Stand
from infra.local.places import LOCAL
from infra.local.terminal import complain, say

_WARM_LEADS = 400

PARTS: Mapping[str, Callable[[Stand], Measured]] = {
    "send": send.measure,
    "rtt": rtt.measure,
    "grow": grow.measure,
    "latency": latency.measure,
    "track": track.measure,
    "api": api.measure,
    "ingest": ingest.measure,
    "soak": soak.measure,
    "scale": scale.measure,
    "stages": stages.measure,
    "steps": steps.measure,
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--quick", "sizes", flag_value="quick", help="Small sizes: five minutes for all.")
@click.option("--full", "sizes", flag_value="full", default="full", hidden=True)
@click.option("--leads", type=click.IntRange(1), help="Mails of a campaign in send, grow and soak.")
@click.option("--rounds", type=click.IntRange(1), help="Interleaved rounds of send.")
@click.option("--processes", type=click.IntRange(1, 64), help="Worker processes; 2 by default.")
@click.option("--rows", type=click.IntRange(1), multiple=True, help="Finished rows of grow.")
@click.option("--peers/--no-peers", "has_peers", default=True, help="Compare with Node programs.")
@click.option("--json", "target", type=click.Path(dir_okay=False, path_type=Path))
def main(  # noqa: PLR0913 - one parameter per option
    *,
    parts: tuple[str, ...],
    sizes: str,
    leads: int | None,
    rounds: int | None,
    processes: int | None,
    rows: tuple[int, ...],
    has_peers: bool,
    target: Path | None,
) -> None:
    """Measure the named parts, or all of them."""
    unwind_when_stopped()
    log.configure("warning", settings().log_format)
    upgrade(settings().database_url)
    folder = _folder()
    base = QUICK if sizes == "quick" else FULL
    base = dataclasses.replace(base, grow_rows=rows or base.grow_rows)
    stand = Stand(
        sizes=_sizes(base, leads, rounds, processes),
        folder=folder,
        peers=node.installed() if has_peers else None,
    )
    _warm_up(stand)
    report = _report_head(stand)
    failed = [name for name in parts or PARTS if not _run(name, stand, report)]
    path = target or folder / "report.json"
    path.write_text(json.dumps(report, indent=1, default=str) + "\n")
    say(f"every round: {path}")
    if failed:
        say(f"not measured: {', '.join(failed)}")
    sys.exit(1 if failed else 0)


def _warm_up(stand: Stand) -> None:
    """Send a small campaign nobody measures: a fresh Redis holds its first mails back for seconds.

    It has to learn from PostgreSQL what was sent before (policy/rate_limits, "cold").
    """
    say("warming up")
    with (
        sinks.fastest(stand.folder) as sink,
        connect(settings().database_url, role=None) as session,
    ):
        send_campaign(session, sink, stand.folder, leads=_WARM_LEADS, strength=stand.sizes.strength)


def _sizes(base: Sizes, leads: int | None, rounds: int | None, processes: int | None) -> Sizes:
    """Return the sizes with what the command line says instead."""
    return dataclasses.replace(
        base,
        leads=leads or base.leads,
        grow_leads=leads or base.grow_leads,
        soak_leads=leads or base.soak_leads,
        rounds=rounds or base.rounds,
        processes=processes or base.processes,
    )


def _folder() -> Path:
    """Return a folder of this run's own, for logs and the report; they stay."""
    folder = LOCAL / "bench" / utc_now().strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _report_head(stand: Stand) -> dict[str, Any]:
    with connect(settings().database_url) as session:
        facts = machine.facts(session)
    head = {"at": utc_now(), "machine": facts, "sizes": dataclasses.asdict(stand.sizes)}
    return head | {"parts": {}}


def _run(name: str, stand: Stand, report: dict[str, Any]) -> bool:
    """Measure one part, print its table, keep its facts; False when it could not be measured."""
    say(f"{name} ...")
    began = time.monotonic()
    try:
        found = PARTS[name](stand)
    except MailqueueError as error:
        complain(error)
        report["parts"][name] = {"error": str(error)}
        return False
    click.echo("\n" + table(name, found.figures) + "".join(f"  {r}\n" for r in found.remarks))
    report["parts"][name] = {
        "seconds": round(time.monotonic() - began, 1),
        "figures": [
            dataclasses.asdict(figure) | {"ratio": figure.ratio, "reached": figure.is_reached}
            for figure in found.figures
        ],
        "remarks": list(found.remarks),
        "facts": found.facts,
    }
    return True


if __name__ == "__main__":
    main()
