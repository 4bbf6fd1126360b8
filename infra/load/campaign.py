"""A campaign at scale, measured: import, planning, release, sending, and everybody's memory.

    ./run bench [--leads 100000]

Runs on private services that are as durable as production (fsync, synchronous_commit). A rate is
only printed when leads, planned mails, `sent` rows and arrivals at the inbox agree.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import click

from actors import runtime, schedule
from app.assembly.contents import Content
from app.audit import Author
from app.campaigns import campaigns, templates
from app.campaigns.definition import read
from app.campaigns.leads_import import LeadFile, import_csv
from app.clock import utc_now
from app.config import settings
from app.db.migrate import upgrade
from app.db.session import Session, connect
from app.errors import LedgerOff
from app.inbox import Inbox
from app.lifecycle import ledger
from app.secretbox import SecretBox
from app.smtp.connection import Security
from app.tenancy import apps, email_accounts, smtp_configs
from infra.load.processes import memory_mb, tree

AUTHOR = Author(name="bench")
CAMPAIGN = """\
name: bench
accounts: [bench@sender.example.org]
steps:
  - template: bench
"""
HTML = """<html><body><h1>Hello {{firstName}}</h1>
<p>News of the month for {{company|'your company'}}.</p>
<p><a href="https://example.com/offer">Offer</a> <a href="https://example.com/help">Help</a></p>
<p><a href="{{unsubscribeUrl}}">Unsubscribe</a></p></body></html>"""


@click.command()
@click.option("--leads", default=100_000, show_default=True, help="How many leads.")
def main(leads: int) -> None:
    """Measure one campaign and print a table; exits 1 when the numbers do not agree."""
    upgrade(settings().database_url)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        inbox = stack.enter_context(Inbox(folder / "inbox"))
        session = stack.enter_context(connect(settings().database_url))
        app = apps.create(session, f"bench {time.time():.0f}", AUTHOR)
        _prepare(session, app.id, inbox.smtp_port)
        facts: dict[str, float] = {"leads": leads}
        with _measured(facts, "import", leads):
            import_csv(session, app.id, LeadFile(path=_csv(folder, leads), pepper=_pepper()))
        with _measured(facts, "enrol", leads):
            campaign = campaigns.start(session, app.id, "bench", AUTHOR, utc_now())
        with _measured(facts, "plan", leads):
            _plan(session)
        with _measured(facts, "release", leads):
            _release(session, leads)
        with _fleet() as pids, _measured(facts, "send", leads):
            memory = _watch(session, campaign.id, leads, pids)
        books = ledger.of_campaign(session, campaign.id)
        arrived = len({(m.rcpt_to, m.message_id) for m in inbox.store.messages()})
        if not leads == books.planned == books.sent == arrived == inbox.store.count():
            raise LedgerOff(
                f"{books} but {arrived} different mails of {inbox.store.count()} arrived."
            )
    runtime.publisher().close()
    click.echo(json.dumps(facts | {"worker_memory_mb": memory}, indent=1))


def _prepare(session: Session, app_id: UUID, port: int) -> None:
    box = SecretBox.from_setting(settings().sealing_keys.get_secret_value())
    server = smtp_configs.create(
        session,
        box,
        smtp_configs.NewSmtpConfig(
            app_id=app_id, name="inbox", host="127.0.0.1", port=port, security=Security.NONE
        ),
        AUTHOR,
    )
    account = email_accounts.NewAccount(
        app_id=app_id,
        address="bench@sender.example.org",
        display_name="Bench",
        smtp_config_id=server.id,
    )
    email_accounts.create(session, account, AUTHOR)
    content = Content(subject="News for {{firstName}}", html=HTML)
    templates.save(session, app_id, "bench", content, AUTHOR)
    campaigns.create(session, app_id, read(CAMPAIGN), AUTHOR)


def _pepper() -> str:
    return settings().address_pepper.get_secret_value()


def _csv(folder: Path, leads: int) -> Path:
    path = folder / "leads.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("email,firstName,lastName,company,timezone\n")
        for n in range(leads):
            zone = ("Europe/Berlin", "America/New_York", "Asia/Tokyo")[n % 3]
            file.write(f"lead{n}@example{n % 50}.com,Zoë{n},Müller,Company {n} GmbH,{zone}\n")
    return path


@contextmanager
def _measured(facts: dict[str, float], name: str, items: int) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    facts[f"{name}_s"] = round(seconds, 2)
    facts[f"{name}_per_s"] = round(items / seconds)
    click.echo(f"{name:10} {seconds:8.2f} s {items / seconds:12,.0f} /s", err=True)


def _plan(session: Session) -> None:
    while schedule.advance_campaigns(session, settings()):
        pass


def _release(session: Session, leads: int) -> None:
    """Release everything with nobody at work: what a pass can do, publishing included."""
    wide = settings().model_copy(update={"in_flight_limit": leads})
    released = 0
    while released < leads:
        released += schedule.run_pass(session, wide, reason="bench").released


@contextmanager
def _fleet() -> Iterator[list[int]]:
    processes, threads = settings().worker_processes, settings().worker_threads
    command = [sys.executable, "-m", "dramatiq", "actors", "-p", str(processes), "-t", str(threads)]
    fleet = subprocess.Popen(command, env=os.environ | {"MAILQUEUE_LOG_LEVEL": "warning"})  # noqa: S603 - our own words
    try:
        yield [fleet.pid]
    finally:
        fleet.terminate()
        fleet.wait(60)


def _watch(
    session: Session, campaign_id: UUID, leads: int, pids: list[int]
) -> dict[str, list[float]]:
    """Wait until all is sent; return every worker process's memory at a fifth, a half, the end."""
    seen: dict[str, list[float]] = {}
    marks = [leads * share for share in (0.2, 0.5, 0.8, 1.0)]
    query = "SELECT count(*) FROM emails WHERE campaign_id = %s AND status = 'sent'"
    while marks:
        time.sleep(0.2)
        ((sent,),) = session.execute(query, (campaign_id,)).fetchall()
        if sent >= marks[0]:
            marks.pop(0)
            for pid in tree(pids[0]):
                seen.setdefault(str(pid), []).append(memory_mb(pid))
    return seen


if __name__ == "__main__":
    main()
