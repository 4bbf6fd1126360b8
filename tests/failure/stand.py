"""The stand every fault is tried on: a campaign, real processes, the office, and the final count.

Time is passed, never slept: when nothing moves any more the stand moves the rows' clocks on, as if
the wait for a retry, a lease's end or the sweeper's patience were over.
"""

import contextlib
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pika
import psycopg
import redis

from app.clock import utc_now
from app.db.session import CONNECTION_LOST, Session, connect
from app.errors import DependencyUnavailable
from app.ids import new_ids
from app.lifecycle import ledger
from app.privacy import address_hash
from app.queueing import topology
from app.queueing.messages import Outgoing, encode
from app.queueing.payloads import TickPayload
from app.queueing.steps import LADDER
from infra.load.processes import tree
from infra.local.places import ROOT
from infra.local.supervise import Child, Process
from tests import factories
from tests.conftest import SECRETS
from tests.failure.killable import Services, start_process
from tests.failure.office import PostOffice

_QUIET_S = 1.0  # after this long without a move, time is passed
IDLE_IN_TRANSACTION_S = 6  # what a frozen worker has is taken from it after 30 s otherwise
_IMPATIENT = f"?options=-c%20idle_in_transaction_session_timeout%3D{IDLE_IN_TRANSACTION_S}s"
_FINAL = {"unknown", "failed", "suppressed", "cancelled", "expired"}


@dataclass(slots=True, kw_only=True)
class Count:
    """What a fault did; `open_at_kill` bounds how many outcomes may be unknown."""

    fault: str
    planned: int
    arrived: int
    lost: int
    doubled: int
    unknown: int
    open_at_kill: int
    off_by: int
    seconds: float
    states: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        """What breaks the promise."""
        found = list(self.wrong)
        if self.lost:
            found.append(f"{self.lost} lost")
        if self.doubled:
            found.append(f"{self.doubled} sent twice")
        if self.unknown > self.open_at_kill:
            found.append(f"{self.unknown} unknown, {self.open_at_kill} connections were open")
        if self.off_by:
            found.append(f"the ledger is off by {self.off_by}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A planned campaign: who gets a mail of it, and through which account."""

    app_id: UUID
    campaign_id: UUID
    account_id: UUID
    smtp_config_id: UUID
    addresses: tuple[str, ...]


class Stand:
    """One scenario: its database, its processes, its office."""

    def __init__(self, services: Services, folder: Path, name: str) -> None:
        self.services = services
        self.office = PostOffice()
        self.open_at_kill = 0
        self.wrong: list[str] = []
        self.notes: list[str] = []
        self._offices: list[PostOffice] = []
        self._name = name
        self._folder = folder
        self._began = time.monotonic()
        self._database = services.new_database()
        self._session: Session | None = None
        self._processes: dict[str, Process] = {}
        self._children: dict[str, Child] = {}
        self._campaigns: list[Campaign] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._empty_queues()
        with contextlib.closing(redis.Redis.from_url(services.redis_url)) as client:
            client.flushall()

    # ---- the database -------------------------------------------------------------------------

    def ask(self, sql: str, binds: Sequence[Any] | dict[str, Any] = ()) -> list[Any]:
        """Run one statement; a connection that a fault has cut is opened again."""
        cursor = self._patiently(lambda session: session.execute(sql, binds))
        return cursor.fetchall() if cursor.description else []

    def _patiently(self, action: Callable[[Session], Any], within_s: float = 30.0) -> Any:
        ends_at = time.monotonic() + within_s
        while True:
            try:
                if self._session is None:
                    self._session = connect(self._database)
                    self._session.execute("SET statement_timeout = '10s'")
                return action(self._session)
            except (*CONNECTION_LOST, DependencyUnavailable):
                if self._session is not None:
                    self._session.close()
                self._session = None
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.1)

    def open_office(self) -> PostOffice:
        """Open one more mail server; what arrives there counts, too."""
        self._offices.append(PostOffice())
        return self._offices[-1]

    def new_session(self) -> Session:
        return connect(self._database)

    def cut_database_connections(self) -> None:
        """End every connection to this database, as a failover does."""
        with psycopg.connect(self._database, autocommit=True) as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def idle_transactions(self) -> int:
        """Count sessions of this database whose transaction has waited for its client for long."""
        with psycopg.connect(self._database, autocommit=True) as superuser:
            found = superuser.execute(
                "SELECT FROM pg_stat_activity"
                " WHERE datname = current_database() AND state = 'idle in transaction'"
                " AND state_change < clock_timestamp() - interval '1 s'"
            )
            return found.rowcount

    def cut_connections_that_wait(self) -> int:
        """End every connection to this database that waits for a lock; return how many did."""
        with psycopg.connect(self._database, autocommit=True) as superuser:
            found = superuser.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return found.rowcount

    def statuses(self) -> dict[str, int]:
        return dict(self.ask("SELECT status, count(*) FROM emails GROUP BY 1"))

    def unknown(self) -> int:
        return int(self.statuses().get("unknown", 0))

    # ---- the campaign -------------------------------------------------------------------------

    def plan(
        self, mails: int, *, address: str = "lead{n}@example{k}.com", **limits: Any
    ) -> Campaign:
        """Make a running campaign of one step; the clock plans and releases its mails."""
        addresses = tuple(address.format(n=n, k=n % 20) for n in range(mails))
        campaign = self._patiently(lambda session: self._plan(session, addresses, limits))
        self._campaigns.append(campaign)
        return campaign

    def _plan(self, session: Session, addresses: Sequence[str], limits: dict[str, Any]) -> Campaign:
        with session.transaction():
            app_id = factories.make_app(session).id
            server = factories.make_smtp_config(session, app_id, port=self.office.port)
            account = factories.make_account(session, app_id, smtp_config_id=server.id, **limits)
            campaign_id = factories.make_campaign(session, app_id, account_id=account.id)
            factories.make_step(session, campaign_id)
            self._enrol(session, app_id, campaign_id, account.id, addresses)
        return Campaign(
            app_id=app_id,
            campaign_id=campaign_id,
            account_id=account.id,
            smtp_config_id=server.id,
            addresses=tuple(addresses),
        )

    @staticmethod
    def _enrol(
        session: Session,
        app_id: UUID,
        campaign_id: UUID,
        account_id: UUID,
        addresses: Sequence[str],
    ) -> None:
        now = utc_now()
        leads = [UUID(text) for text in new_ids(len(addresses), now)]
        enrolments = [UUID(text) for text in new_ids(len(addresses), now)]
        session.execute(
            "INSERT INTO leads (id, app_id, email, email_hash, variables)"
            ' SELECT id, %s, email, hash, \'{"firstName": "Ana"}\''
            " FROM unnest(%s::uuid[], %s::text[], %s::bytea[]) AS l(id, email, hash)",
            (
                app_id,
                leads,
                list(addresses),
                [address_hash(address, factories.PEPPER) for address in addresses],
            ),
        )
        session.execute(
            "INSERT INTO enrolments (id, app_id, campaign_id, lead_id, account_id, due_at)"
            " SELECT id, %s, %s, lead, %s, now() FROM unnest(%s::uuid[], %s::uuid[]) AS e(id, lead)",
            (app_id, campaign_id, account_id, enrolments, leads),
        )

    @property
    def campaigns(self) -> int:
        """How many campaigns were planned."""
        return len(self._campaigns)

    def is_over(self) -> bool:
        """Tell whether every planned mail has its final state."""
        states = self.statuses()
        waiting = sum(states.get(s, 0) for s in ("scheduled", "queued", "sending"))
        planned = sum(len(campaign.addresses) for campaign in self._campaigns)
        return not waiting and sum(states.values()) == planned

    # ---- processes ----------------------------------------------------------------------------

    def start_workers(
        self, name: str, *, threads: int = 2, rabbitmq_url: str = "", queues: Sequence[str] = ()
    ) -> Child:
        """Start a worker process tree called `name`; no queues means all of them."""
        command = [sys.executable, "-m", "dramatiq", "actors", "-p", "1", "-t", str(threads)]
        command += ["-Q", *queues] if queues else []
        return self._start(name, command, rabbitmq_url)

    def start_piped_worker(self, name: str) -> Child:
        """Start workers whose log goes through a pipe, so that fill_disk() does not reach it."""
        words = f"{sys.executable} -m dramatiq actors -p 1 -t 2"
        piped = f"{words} 2>&1 | cat >>{self._folder / name}-piped.log"
        return self._start(name, ["sh", "-c", piped], "")

    def fill_disk(self, name: str, limit_bytes: int) -> None:
        """Let no file of these workers grow beyond so many bytes."""
        for pid in tree(self._children[name].popen.pid):
            if b"dramatiq\0actors" in Path(f"/proc/{pid}/cmdline").read_bytes():
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    def start_clock(self, name: str = "clock") -> Child:
        return self._start(name, [sys.executable, "-m", "app", "clock"], "")

    def _start(self, name: str, command: list[str], rabbitmq_url: str) -> Child:
        env = {k: v for k, v in os.environ.items() if not k.startswith("MAILQUEUE_")}
        env |= SECRETS | {
            "DATABASE_URL": self._database + _IMPATIENT,
            "RABBITMQ_URL": rabbitmq_url or self.services.rabbitmq_url,
            "REDIS_URL": self.services.redis_url,
            "MAILQUEUE_STATE_DIR": str(self._folder / "state"),
            "MAILQUEUE_CLOCK_INTERVAL_MS": "200",
        }
        self._processes[name] = Process(name=name, command=command, env=env, cwd=ROOT)
        return self.restart(name)

    def restart(self, name: str) -> Child:
        self._children[name] = start_process(self._processes[name], self._folder)
        return self._children[name]

    def kill(self, name: str) -> int:
        """kill -9 of a process tree; counts and returns the SMTP connections that were open."""
        child = self._children.pop(name)
        was_open = self.office.connections
        self.open_at_kill += was_open
        child.signal(signal.SIGKILL)
        child.popen.wait()
        return was_open

    def kill_clock(self, name: str) -> None:
        """kill -9 of a clock, which holds no SMTP connection."""
        child = self._children.pop(name)
        child.signal(signal.SIGKILL)
        child.popen.wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Signal a whole process tree."""
        os.killpg(self._children[name].popen.pid, number)

    def is_running(self, name: str) -> bool:
        return name in self._children

    def keep_alive(self) -> None:
        """Do a supervisor's work: what ended by itself is started again."""
        for name, child in list(self._children.items()):
            if not child.is_alive:
                self.restart(name)

    def log(self, name: str) -> str:
        log = self._folder / f"{name}.log"
        return log.read_text(errors="replace") if log.exists() else ""

    # ---- time ---------------------------------------------------------------------------------

    def until(self, condition: Callable[[], object], within_s: float = 30.0) -> None:
        """Wait for a condition, with a deadline."""
        ends_at = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < ends_at, f"it did not happen in time: {self.statuses()}"
            time.sleep(0.02)

    def pass_time(self) -> None:
        """Let every wait in the rows be over, and say so to the sweeper."""
        # What a frozen worker has locked is left alone.
        self.ask(
            "UPDATE emails SET due_at = now() WHERE id IN (SELECT id FROM emails"
            " WHERE due_at > now() AND due_at < 'infinity' FOR UPDATE SKIP LOCKED)"
        )
        self.ask(
            "UPDATE released_chunks SET touched_at = now() - interval '1 day' WHERE id IN"
            " (SELECT id FROM released_chunks FOR UPDATE SKIP LOCKED)"
        )
        self.publish([encode("sweep", "maintenance", TickPayload(reason="test"))])

    def publish(self, items: Sequence[Outgoing]) -> None:
        """Publish messages; RabbitMQ being away is part of the game."""
        with contextlib.suppress(pika.exceptions.AMQPError, OSError), self.channel() as channel:
            for item in items:
                channel.basic_publish(item.exchange, item.queue, item.body)

    @contextlib.contextmanager
    def channel(self) -> Iterator[Any]:
        connection = pika.BlockingConnection(pika.URLParameters(self.services.rabbitmq_url))
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def finish(self, within_s: float = 60.0) -> None:
        """Go on until every planned mail has its final state; passes time when nothing moves."""
        ends_at = time.monotonic() + within_s
        seen: dict[str, int] = {}
        moved_at = time.monotonic()
        while not self.is_over():
            self.keep_alive()
            states = self.statuses()
            if states != seen:
                seen, moved_at = states, time.monotonic()
            elif time.monotonic() - moved_at > _QUIET_S:
                self.pass_time()
                moved_at = time.monotonic()
            if time.monotonic() > ends_at:
                self.wrong.append(f"not finished after {within_s:g} s: {states}")
                return
            time.sleep(0.05)

    # ---- the count ----------------------------------------------------------------------------

    def count(self) -> Count:
        """Compare what was planned, what the rows say and what arrived."""
        rows = self.ask("SELECT to_email, status FROM emails")
        state_of = dict(rows)
        accepted = sum((office.accepted for office in self._offices), self.office.accepted)
        refused = self.office.refused.union(*(office.refused for office in self._offices))
        addresses = [a for campaign in self._campaigns for a in campaign.addresses]
        lost = [a for a in addresses if not accepted[a] and not _is_told(a, state_of, refused)]
        off_by = sum(abs(self._books(c).off_by) for c in self._campaigns)
        untold = [
            a for a in addresses if accepted[a] and state_of.get(a) in {"scheduled", "failed"}
        ]
        if len(rows) != len(state_of):
            self.wrong.append("an address has more than one row")
        if untold:
            self.wrong.append(f"{len(untold)} arrived and are not told: {untold[:3]}")
        return Count(
            fault=self._name,
            planned=len(addresses),
            arrived=sum(1 for a in addresses if accepted[a]),
            lost=len(lost),
            doubled=sum(1 for a in addresses if accepted[a] > 1),
            unknown=sum(1 for a in addresses if state_of.get(a) == "unknown"),
            open_at_kill=self.open_at_kill,
            off_by=off_by,
            seconds=time.monotonic() - self._began,
            states=dict(Counter(state_of.values())),
            wrong=self.wrong,
            notes=self.notes,
        )

    def _books(self, campaign: Campaign) -> ledger.Ledger:
        found: ledger.Ledger = self._patiently(
            lambda session: ledger.of_campaign(session, campaign.campaign_id)
        )
        return found

    def _empty_queues(self) -> None:
        names = [
            *topology.WORK_QUEUES,
            *(f"dlq.{queue}" for queue in topology.WORK_QUEUES),
            *(topology.retry_name(rung) for rung in LADDER),
        ]
        with self.channel() as channel:
            for name in names:
                try:
                    channel.queue_purge(name)
                except pika.exceptions.ChannelClosedByBroker:
                    channel = channel.connection.channel()  # noqa: PLW2901 - a 404 closes the channel

    def close(self) -> None:
        for name in list(self._children):
            with contextlib.suppress(ProcessLookupError):
                self.signal(name, signal.SIGKILL)
            self._children.pop(name).popen.wait()
        for office in (self.office, *self._offices):
            office.close()
        if self._session is not None:
            self._session.close()
        self.services.drop_database(self._database)


def _is_told(address: str, state_of: dict[str, str], refused: set[str]) -> bool:
    """Tell whether a mail that did not arrive ended in a state that says so."""
    state = state_of.get(address)
    return state in _FINAL and (state != "failed" or address in refused)
