"""Every fault under load: what is done to a running campaign, by name; the suite and chaos share it.

A fault gets a stand with a planned campaign on the way through one or two workers and a clock. It
does its harm, and leaves the stand able to finish. Randomness comes from the run's seed only.
"""

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.lifecycle import transitions
from tests.failure.killable import Service
from tests.failure.neighbours import hang_beside
from tests.failure.office import OK, HungUp, Step, Visit
from tests.failure.stand import Campaign, Stand


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a fault works with. `rounds`: how often it strikes."""

    stand: Stand
    campaign: Campaign
    rng: random.Random
    rounds: int

    def under_way(self, share: float = 0.1) -> None:
        """Wait until this share of the campaign has arrived."""
        wanted = len(self.campaign.addresses) * share
        self.stand.until(lambda: sum(self.stand.office.accepted.values()) >= wanted, 60)

    def pause(self, longest_s: float) -> None:
        """Let the load run on for a random moment."""
        time.sleep(self.rng.uniform(0.0, longest_s))

    def keep_busy(self) -> None:
        """Plan one more campaign when nothing is left to disturb."""
        if self.stand.is_over():
            self.plan_more()

    def plan_more(self) -> None:
        """Plan one more campaign, for other people."""
        address = f"wave{self.stand.campaigns}-lead{{n}}@example{{k}}.com"
        self.stand.plan(len(self.campaign.addresses), address=address)

    def strikes(self) -> Iterator[int]:
        """Yield once per round, under load."""
        for number in range(self.rounds):
            self.keep_busy()
            yield number


_MOST_TAKEN = 100

_ALL_BUT_SEND = ("schedule", "maintenance", "assemble.high", "assemble.normal", "assemble.low")
Harm = Callable[[Trial], None]


# ---- workers and clocks ---------------------------------------------------------------------------


def random_kills(trial: Trial) -> None:
    """kill -9 of a random worker at random moments; the other one goes on."""
    stand = trial.stand
    trial.under_way(0.02)
    for _ in trial.strikes():
        name = trial.rng.choice(("worker", "worker-2"))
        started = stand.log(name).count("process.started")
        trial.pause(0.7)
        before = stand.unknown()
        open_at_kill = stand.kill(name)
        stand.restart(name)
        _wait_for_boot(stand, name, started)
        # Whoever boots has settled the journals of the dead before, so these are all of this kill.
        grown = stand.unknown() - before
        if grown > open_at_kill:
            stand.wrong.append(f"{grown} unknown of one kill, {open_at_kill} connections were open")


def _wait_for_boot(stand: Stand, name: str, started: int) -> None:
    stand.until(lambda: stand.log(name).count("process.started") > started, 60)


def freeze(trial: Trial) -> None:
    """SIGSTOP past the lease; another worker's sweep settles what was held; then SIGCONT."""
    stand, held = trial.stand, 0
    trial.under_way()
    for _ in trial.strikes():
        stand.signal("worker", signal.SIGSTOP)
        stand.open_at_kill += stand.office.connections
        held += len(
            stand.ask(
                "UPDATE emails SET lease_until = now() - interval '1 s' WHERE id IN"
                " (SELECT id FROM emails WHERE status = 'sending' FOR UPDATE SKIP LOCKED)"
                " RETURNING id"
            )
        )
        stand.pass_time()
        trial.pause(1.5)
        stand.signal("worker", signal.SIGCONT)
        trial.pause(0.5)
    if not held:
        stand.wrong.append("no lease was held when the worker froze")
    # What the thawed worker knows comes late; who counts before that sees every lease as unknown.
    with contextlib.suppress(AssertionError):
        stand.until(lambda: stand.statuses().get("unknown", 0) <= stand.open_at_kill, 60)


def two_clocks(trial: Trial) -> None:
    """A second clock stands by; the leader is killed again and again."""
    stand = trial.stand
    stand.start_clock("clock-2")
    for _ in trial.strikes():
        trial.pause(1.0)
        for name in ("clock", "clock-2"):
            stand.kill_clock(name)
            trial.pause(0.5)
            stand.restart(name)


# ---- services -------------------------------------------------------------------------------------


def _kill_service(service: Service, *, wipes: bool) -> Harm:
    def harm(trial: Trial) -> None:
        services = trial.stand.services
        trial.under_way()
        for _ in trial.strikes():
            services.kill(service)
            if wipes:
                services.wipe(service)
            trial.pause(1.0)
            services.start(service)
            trial.stand.keep_alive()
            trial.pause(1.0)

    return harm


def cut_database_connections(trial: Trial) -> None:
    """pg_terminate_backend for everybody, several times."""
    trial.under_way(0.05)
    for _ in trial.strikes():
        trial.stand.cut_database_connections()
        trial.pause(0.4)


def double_and_shuffle(trial: Trial) -> None:
    """Put each message of the send queue back twice, in another order, while nobody takes any."""
    stand = trial.stand
    trial.under_way(0.01)
    stand.start_workers("planner", queues=_ALL_BUT_SEND)
    for _ in range(trial.rounds):
        for name in ("worker", "worker-2"):
            stand.kill(name)  # what they had fetched is ready again
        trial.plan_more()
        trial.plan_more()
        stand.until(lambda: _doubled(trial, "send.normal") > 1, 60)
        for name in ("worker", "worker-2"):
            stand.restart(name)
        trial.pause(0.3)


def _doubled(trial: Trial, queue: str) -> int:
    """Double and shuffle what is ready in a queue; return how many messages that were."""
    taken: dict[bytes, Any] = {}
    with trial.stand.channel() as channel:
        while len(taken) < _MOST_TAKEN:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                break
            taken[body] = properties
        doubled = list(taken) * 2
        trial.rng.shuffle(doubled)
        for body in doubled:
            channel.basic_publish("", queue, body, taken[body])
    return len(taken)


def change_everything(trial: Trial) -> None:
    """Limits changed three times, the campaign paused and resumed, a worker killed meanwhile."""
    stand, campaign = trial.stand, trial.campaign
    trial.under_way(0.05)
    for limit in (None, 100_000, 50_000):
        stand.ask(
            "UPDATE email_accounts SET hourly_limit = %s, min_gap_ms = 0 WHERE id = %s",
            (limit, campaign.account_id),
        )
        set_campaign(stand, campaign, "paused")
        trial.pause(0.5)
        stand.kill("worker")
        set_campaign(stand, campaign, "running")
        stand.restart("worker")
        trial.pause(1.0)


def set_campaign(stand: Stand, campaign: Campaign, status: str) -> None:
    """Pause or resume as app.campaigns does: the status first, then its mails."""
    move = transitions.park if status == "paused" else transitions.unpark
    session = stand.new_session()
    with session.transaction():
        session.execute(
            "UPDATE campaigns SET status = %s WHERE id = %s", (status, campaign.campaign_id)
        )
        move(session, campaign.campaign_id)
    session.close()


# ---- the other mail server ------------------------------------------------------------------------


def _misbehave(
    step: Step,
    act: Callable[[Visit], bytes | None],
    share: float = 0.1,
    *,
    breaks: bool = True,
) -> Harm:
    """Return a fault whose office acts so on a share of the visits at `step`, for a while.

    The first visit is always one of them. Where it `breaks` behind the dot, each leaves one unknown
    and is counted as open.
    """

    def harm(trial: Trial) -> None:
        stand = trial.stand
        broken: list[str] = []

        def rule(visit: Visit) -> bytes | None:
            if broken and trial.rng.random() >= share:
                return None
            broken.append(visit.address)
            return act(visit)

        stand.office.rules[step] = rule
        began = time.monotonic()
        while not stand.is_over():
            age_s = time.monotonic() - began
            if age_s > 60 or (broken and age_s > 2.0 * trial.rounds):
                break
            time.sleep(0.5)
            stand.pass_time()
        if not broken:
            stand.wrong.append("the mail server never misbehaved")
        if step is Step.DOT and breaks:
            stand.open_at_kill += len(broken)
        stand.office.behave()

    return harm


def _closes(visit: Visit) -> bytes | None:
    visit.keep()
    raise HungUp


def _shuts_down(visit: Visit) -> bytes | None:
    visit.part(b"421 4.3.2 shutting down\r\n")


def _babbles(visit: Visit) -> bytes | None:
    visit.keep()
    return b"\xff\xfe what?\r\n"


def _drops(_visit: Visit) -> bytes | None:
    raise HungUp


def _says(reply: bytes) -> Callable[[Visit], bytes | None]:
    def act(_visit: Visit) -> bytes | None:
        return reply

    return act


def greylists(trial: Trial) -> None:
    """451 to the first attempt for each address, 250 to the next."""
    seen: set[str] = set()

    def rule(visit: Visit) -> bytes | None:
        if visit.address in seen:
            return None
        seen.add(visit.address)
        return b"451 4.7.1 greylisted, try again later\r\n"

    trial.stand.office.rules[Step.RCPT] = rule
    trial.stand.until(lambda: len(seen) >= len(trial.campaign.addresses), 60)


def hangs_after_data(trial: Trial) -> None:
    """Some visits get no answer to DATA until the sender's own deadline (120 s) ends them."""
    stand = trial.stand

    def rule(visit: Visit) -> bytes | None:
        if visit.address.startswith("lead1"):
            visit.hold()
        return None

    stand.office.rules[Step.DATA] = rule
    ends_at = time.monotonic() + 130
    while time.monotonic() < ends_at:
        trial.keep_busy()
        stand.keep_alive()
        time.sleep(0.5)


def refuses_connections(trial: Trial) -> None:
    """Nothing listens for a while, several times."""
    trial.under_way(0.05)
    for _ in trial.strikes():
        trial.stand.open_at_kill += trial.stand.office.connections
        trial.stand.office.refuse_connections()
        trial.pause(1.0)
        trial.stand.office.open()
        trial.pause(0.5)


def slow_reply(visit: Visit) -> bytes | None:
    """Take the mail and answer one byte at a time."""
    visit.keep()
    visit.trickle(OK[:-1], 0.05)
    return b"\n"


def one_app_hangs(trial: Trial) -> None:
    """One app's mail server hangs; the mails of another app take no longer."""
    trial.stand.office.pace_s = 0.02
    hang_beside(trial.stand)


FAULTS: dict[str, Harm] = {
    "worker killed at random": random_kills,
    "worker frozen past its lease": freeze,
    "clock killed, two clocks": two_clocks,
    "RabbitMQ killed and restarted": _kill_service(Service.RABBITMQ, wipes=False),
    "RabbitMQ killed and wiped": _kill_service(Service.RABBITMQ, wipes=True),
    "PostgreSQL killed and restarted": _kill_service(Service.POSTGRES, wipes=False),
    "every database connection cut": cut_database_connections,
    "Redis killed and restarted": _kill_service(Service.REDIS, wipes=False),
    "Redis killed and wiped": _kill_service(Service.REDIS, wipes=True),
    "messages doubled and shuffled": double_and_shuffle,
    "limits changed, paused, resumed, killed": change_everything,
    "SMTP refuses connections": refuses_connections,
    "SMTP hangs after DATA for 120 s": hangs_after_data,
    "SMTP of one app hangs beside another": one_app_hangs,
    "SMTP greylists everybody": greylists,
    "SMTP closes after the final dot": _misbehave(Step.DOT, _closes, 0.02),
    "SMTP closes at RCPT": _misbehave(Step.RCPT, _drops, 0.02),
    "SMTP says 421 in the middle": _misbehave(Step.RCPT, _shuts_down, 0.02),
    "SMTP says 452": _misbehave(Step.RCPT, _says(b"452 4.2.2 mailbox full\r\n"), 0.1),
    "SMTP says 451 at the dot": _misbehave(
        Step.DOT, _says(b"451 4.3.0 try later\r\n"), 0.1, breaks=False
    ),
    "SMTP says 550 for some": _misbehave(Step.RCPT, _says(b"550 5.1.1 no such user\r\n"), 0.1),
    "SMTP answers one byte at a time": _misbehave(Step.DOT, slow_reply, 0.02),
    "SMTP replies garbage to MAIL": _misbehave(Step.MAIL, _says(b"\xff\xfe what?\r\n"), 0.02),
    "SMTP replies garbage to the dot": _misbehave(Step.DOT, _babbles, 0.02),
}


def strike(trial: Trial, names: Sequence[str]) -> None:
    """Let these faults strike one after the other, with a second worker beside the first."""
    stand = trial.stand
    stand.start_workers("worker")
    stand.start_workers("worker-2")
    stand.start_clock()
    for number, name in enumerate(names):
        if number:
            trial.plan_more()
        FAULTS[name](trial)
        stand.keep_alive()
    stand.office.behave()
    stand.office.pace_s = 0.0
    stand.finish(120)
