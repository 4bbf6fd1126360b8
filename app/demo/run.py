"""`python -m app.demo run`: one campaign from the CSV to the funnel, watched and proved."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from app.analytics import reports
from app.analytics.reports import Funnel
from app.campaigns import campaigns
from app.campaigns.campaigns import Campaign, Status
from app.cli.funnel import funnel_of, funnel_table
from app.cli.ledger import balance
from app.cli.ledger import facts_of as facts_of_ledger
from app.cli.output import PeoplePrinter, table
from app.cli.output import console as terminal
from app.clock import monotonic_s, utc_now
from app.config import Settings
from app.db.session import Session, connect
from app.demo.mailbox import Mailbox
from app.demo.proof import Evidence, Proof, is_analysed, proofs
from app.demo.reader import Readers
from app.demo.stage import DEMO, FOLDER, Stage, set_up, subjects
from app.lifecycle import ledger as books

_LIMIT_S = 90.0
_LOOK_S = 0.5
_LINE_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The campaign at one moment."""

    funnel: Funnel
    campaign: Campaign
    elapsed_s: float


def run(now: Settings) -> int:
    """Run the demo; 0 only when every claim holds."""
    console = terminal()
    mailbox = Mailbox(now.inbox_host, now.inbox_http_port)
    after = mailbox.newest()
    with connect(now.database_url) as session:
        stage = _set_up(console, session, now)
        readers = Readers(mailbox, after, subjects())
        readers.start()
        started_s = monotonic_s()
        campaigns.start(session, stage.app.id, stage.campaign.name, DEMO, utc_now())
        try:
            _watch(console, session, stage, readers)
        finally:
            readers.stop()
        if readers.error is not None:
            raise readers.error
        return _report(console, session, stage, readers, monotonic_s() - started_s)


def _set_up(console: Console, session: Session, now: Settings) -> Stage:
    name = f"demo-{utc_now():%Y%m%d-%H%M%S}"
    size = (FOLDER / "leads.csv").stat().st_size
    with PeoplePrinter().progress("leads.csv", "rows") as advance:
        stage = set_up(session, now, name, lambda rows, read: advance(rows, read / size))
    console.print(
        f"App [bold]{name}[/]: {stage.imported.added:,} leads imported, "
        f"campaign [bold]{stage.campaign.name}[/] with {stage.campaign.steps} steps started."
    )
    return stage


def _watch(console: Console, session: Session, stage: Stage, readers: Readers) -> None:
    """Show the campaign until it is sent, read and analysed, or the time is over."""
    began_s = line_s = monotonic_s()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while (now_s := monotonic_s()) - began_s < _LIMIT_S and readers.error is None:
            look = _look(session, stage, now_s - began_s)
            if console.is_terminal:
                live.update(_live(look), refresh=True)
            elif now_s >= line_s:
                console.print(_line(look))
                line_s = now_s + _LINE_S
            if _is_over(look, readers):
                return
            readers.join(_LOOK_S)


def _look(session: Session, stage: Stage, elapsed_s: float) -> Look:
    return Look(
        funnel=reports.funnel(session, stage.campaign.id),
        campaign=campaigns.get(session, stage.app.id, stage.campaign.name),
        elapsed_s=elapsed_s,
    )


def _is_over(look: Look, readers: Readers) -> bool:
    if look.campaign.status is not Status.FINISHED or not readers.is_idle:
        return False
    arrived = sum(len(recipients) for recipients in readers.arrived.values())
    return arrived >= look.funnel.total.sent and is_analysed(look.funnel, readers.done)


def _live(look: Look) -> RenderableType:
    return Group(funnel_table(funnel_of(look.funnel)), Text(_line(look), style="dim"))


def _line(look: Look) -> str:
    total = look.funnel.total
    return (
        f"{look.elapsed_s:5.1f} s  {look.campaign.status:<9} planned {total.planned:>5,}  "
        f"sent {total.sent:>5,}  opened {total.opened:>4,}  clicked {total.clicked:>3,}  "
        f"unsubscribed {total.unsubscribed:>2,}"
    )


def _report(
    console: Console, session: Session, stage: Stage, readers: Readers, seconds: float
) -> int:
    funnel = reports.funnel(session, stage.campaign.id)
    ledger = books.of_campaign(session, stage.campaign.id)
    evidence = Evidence(
        leads=stage.imported.added,
        funnel=funnel,
        ledger=ledger,
        arrived=readers.arrived,
        goodbyes=readers.goodbyes,
        done=readers.done,
    )
    found = list(proofs(evidence))
    console.print("\n[bold]Funnel by step[/]", funnel_table(funnel_of(funnel)), sep="\n")
    console.print()
    console.print(balance(facts_of_ledger(ledger) | {"of": f"campaign {stage.campaign.name}"}))
    console.print(_verdict(found, readers.requests, seconds))
    return 0 if all(proof.holds for proof in found) else 1


def _verdict(found: Sequence[Proof], requests: int, seconds: float) -> RenderableType:
    wrong = [proof for proof in found if not proof.holds]
    if not wrong:
        return Text(
            f"\n{len(found)} claims checked against the inbox and {requests:,} requests of its "
            f"readers: all hold. {seconds:.0f} s.",
            style="green",
        )
    listed = table(f"{len(wrong)} of {len(found)} claims do not hold", "", "#expected", "#found")
    for proof in wrong:
        listed.add_row(proof.claim, f"{proof.expected:,}", f"{proof.found:,}")
    return listed
