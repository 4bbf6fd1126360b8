"""`steps`: where the microseconds of one mail go, step by step, each alone and the best of three.

CPU of this process; what a step costs in PostgreSQL, Redis or RabbitMQ stands in the table of
`send`. Wall time is given where a step waits for an answer.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from actors import admission
from app.assembly.recipients import waiting
from app.clock import utc_now
from app.config import settings
from app.db.session import Session, connect
from app.ids import new_id, new_ids
from app.lifecycle import attempts, transitions
from app.lifecycle.attempts import Outcome
from app.lifecycle.states import State
from app.mail.headers import date_value
from app.policy.limits import AccountLimits, Reservation
from app.privacy import address_hash
from app.queueing.messages import decode, encode
from app.queueing.payloads import AssembledMail, SendPayload, parse
from app.queueing.steps import SEND, Lane
from app.smtp.connection import Security, Server
from app.smtp.group import Group
from app.smtp.journal import Journal
from app.smtp.transaction import Envelope
from app.smtp.wire import wire_form
from app.tenancy import email_accounts, queues
from infra.load import letters, sinks, tenant
from infra.load.figures import Figure
from infra.load.stand import Measured, Stand
from tracking.tokens import TokenKeys

_LOT = 100  # a micro-batch
_TIMES = 30
_BEST_OF = 3
_CONNECTIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one step costs per mail, in microseconds: CPU of this process, and wall time."""

    name: str
    cpu_us: float
    wall_us: float
    waits: bool = False


class Clock:
    """Times steps: CPU and wall per mail."""

    def __init__(self) -> None:
        self.costs: list[Cost] = []

    def best(self, name: str, step: Callable[[], object], mails: int = 1) -> None:
        """Time a step that may be repeated: the best of three runs, warm."""
        step()
        runs = [_timed([step] * _TIMES) for _ in range(_BEST_OF)]
        cpu, wall = min(runs)
        scale = 1e6 / (_TIMES * mails)
        self.costs.append(Cost(name=name, cpu_us=cpu * scale, wall_us=wall * scale))

    def each(self, name: str, steps: Sequence[Callable[[], object]]) -> None:
        """Time steps that can each run once, a lot of mails at a time; the first only warms up."""
        steps[0]()
        cpu, wall = _timed(steps[1:])
        scale = 1e6 / (len(steps[1:]) * _LOT)
        self.costs.append(Cost(name=name, cpu_us=cpu * scale, wall_us=wall * scale, waits=True))


def measure(stand: Stand) -> Measured:
    """Time each step of a mail's way."""
    clock = Clock()
    _pure(clock)
    with (
        sinks.fastest(stand.folder) as sink,
        connect(settings().database_url, role=None) as session,
    ):
        _with_services(clock, session, sink.port)
        _over_smtp(clock, stand, sink.port)
    figures = [
        figure
        for cost in clock.costs
        for figure in (
            Figure(name=f"{cost.name}, CPU", ours=cost.cpu_us, unit="us"),
            *([Figure(name=f"{cost.name}, wall", ours=cost.wall_us, unit="us")] * cost.waits),
        )
    ]
    remark = f"per mail; micro-batches of {_LOT}; CPU of the worker only"
    return Measured(figures=figures, remarks=[remark])


def _pure(clock: Clock) -> None:
    keys, app_id, email_id = TokenKeys([b"a key of the benchmark"]), new_id(), new_id()
    version = letters.content(keys, app_id)
    person = letters.recipient(keys, app_id, 1)
    slots = version.slots(person)
    date = date_value(utc_now())
    mail = version.join(slots, date)
    lot = SendPayload(
        chunk_id=new_id(),
        lane=Lane.NORMAL,
        app_id=app_id,
        queue_id=new_id(),
        account_id=new_id(),
        template_version_id=new_id(),
        mails=[AssembledMail(email_id=new_id(), to=person.to, slots=slots) for _ in range(_LOT)],
    )
    body = encode("send_normal", SEND.queue_for(Lane.NORMAL), lot).body
    clock.best("one tracking token", partial(keys.mail_token, email_id, app_id))
    clock.best("hash of the address", partial(address_hash, person.to, "a pepper"))
    clock.best("slots: variables escaped and encoded", partial(version.slots, person))
    clock.best("bytes joined from slots, their lines proved", partial(version.join, slots, date))
    clock.best("wire form, where slots prove nothing", partial(wire_form, bytes(mail)))
    clock.best(
        "message encoded", partial(encode, "send_normal", SEND.queue_for(Lane.NORMAL), lot), _LOT
    )
    clock.best("message decoded and checked", lambda: parsed(body), _LOT)
    clock.best("event ids", partial(new_ids, _LOT, utc_now()), _LOT)


def parsed(body: bytes) -> SendPayload:
    """Return the payload of a send message, checked as the consumer does."""
    return parse(SendPayload, decode(body).kwargs["payload"])


def _with_services(clock: Clock, session: Session, port: int) -> None:
    """Time the statements and the limiter on real rows: each lot is released, claimed, recorded."""
    app_id = tenant.new_app(session, port)
    mailing = tenant.planned(session, app_id, _LOT * _TIMES)
    lots = _lots(session, mailing.campaign_id)
    clock.each("read by assemble", [partial(waiting, session, lot) for lot in lots])
    clock.each("release", [partial(transitions.release, session, lot) for lot in lots])
    request = _request(session, app_id)
    clock.each("limiter: one Lua call", [partial(admission.reserve, request, new_id())] * _TIMES)
    half = len(lots) // 2
    claim = partial(attempts.claim, session, worker="bench")
    clock.each("claim", [partial(claim, ids=lot) for lot in lots[:half]])
    outcomes = [[_sent(email_id) for email_id in lot] for lot in lots]
    clock.each(
        "outcome, event, counters",
        [partial(attempts.record, session, lot, None) for lot in outcomes[: half - 1]],
    )
    # As the send stage does it: the outcome of one lot and the claim of the next, one round trip.
    clock.each(
        "outcome and next claim in one commit",
        [
            partial(attempts.record_and_claim, session, before, None, lot, "bench")
            for before, lot in zip(outcomes[half - 1 :], lots[half:], strict=False)
        ],
    )


def _lots(session: Session, campaign_id: UUID) -> list[list[UUID]]:
    query = "SELECT id FROM emails WHERE campaign_id = %s ORDER BY id"
    ids = [row[0] for row in session.execute(query, (campaign_id,)).fetchall()]
    return [ids[start : start + _LOT] for start in range(0, len(ids), _LOT)]


def _request(session: Session, app_id: UUID) -> Reservation:
    account = email_accounts.get_by_address(session, app_id, tenant.account_address(0))
    queue = queues.get_by_name(session, app_id, tenant.NAME)
    return Reservation(
        app_id=app_id,
        queue_id=queue.id,
        account_id=account.id,
        limits=AccountLimits(
            hourly_limit=account.hourly_limit, daily_limit=account.daily_limit, min_gap_ms=0
        ),
        domains={letters.address(number).partition("@")[2]: _LOT // 20 for number in range(20)},
        queue_per_minute=queue.per_minute,
    )


def _sent(email_id: UUID) -> Outcome:
    return Outcome(
        email_id=email_id,
        fence=1,
        target=State.SENT,
        code=250,
        reason=None,
        due_at=None,
        event_id=new_id().hex,
        data={"attempt": 1, "verdict": "accepted", "code": 250, "text": "2.0.0 Ok", "ms": 1.2},
    )


def _over_smtp(clock: Clock, stand: Stand, port: int) -> None:
    server = Server(
        host="127.0.0.1",
        port=port,
        security=Security.NONE,
        connections=_CONNECTIONS,
        allowed_networks=("127.0.0.0/8",),
    )
    folder = stand.folder / "journal"
    folder.mkdir(exist_ok=True)
    group, journal, mail = Group(server), Journal(folder), letters.sample()
    envelopes = [
        Envelope(
            key=b"%032x 1" % number,
            mail_from=letters.SENDER.encode(),
            rcpt_to=letters.address(number).encode(),
            render=lambda: mail,
        )
        for number in range(_LOT)
    ]
    clock.each(
        "SMTP with journal, 8 connections",
        [partial(group.submit, envelopes, journal)] * _TIMES,
    )
    group.close()


def _timed(steps: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """Return the seconds of CPU and of the wall that these steps took together."""
    cpu, wall = time.process_time(), time.monotonic()
    for step in steps:
        step()
    return time.process_time() - cpu, time.monotonic() - wall
