"""`rtt`: what a network's round trip does to a sender: our group against smtplib, same connections.

The sink answers every write a while later, which stands for the distance. Our side is one thread
with the attempt journal on; smtplib gets a thread per connection.
"""

import smtplib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from app.errors import LedgerOff
from app.smtp.connection import Security, Server
from app.smtp.group import Group
from app.smtp.journal import Journal
from app.smtp.transaction import Envelope, Verdict
from infra.load import letters, sinks
from infra.load.figures import Direction, Figure, Goal
from infra.load.sinks import OwnSink
from infra.load.stand import Measured, Stand

_SAME_CONNECTIONS, _MANY_CONNECTIONS = 8, 32
_FAR_MS = (20, 50)
_RATIO = Goal(direction=Direction.AT_LEAST, limit=3.5, is_ratio=True)
_RATE = Goal(direction=Direction.AT_LEAST, limit=900)
_PER_CONNECTION = 10  # mails of one submit: enough to keep the pipeline full
_SENDER, _RECIPIENT = "a@sender.example.org", "u@rcpt.example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What one sender did: mails, the wall time, and its CPU per mail in microseconds."""

    mails: int
    seconds: float
    cpu_us: float

    @property
    def per_s(self) -> float:
        """Mails per second."""
        return self.mails / self.seconds


def measure(stand: Stand) -> Measured:
    """Send for a while at each distance: smtplib, our group, our group with many connections."""
    figures: list[Figure] = []
    facts: dict[str, object] = {}
    mail = letters.sample()
    for delay_ms in stand.sizes.rtt_ms:
        with sinks.stamping(stand.folder, delay_ms) as sink:
            senders: dict[str, Callable[[], Pace]] = {
                "smtplib 8": partial(_smtplib, sink.port, mail, stand.sizes.rtt_s),
                "group 8": partial(_group, stand, sink.port, mail, _SAME_CONNECTIONS),
                "group 32": partial(_group, stand, sink.port, mail, _MANY_CONNECTIONS),
            }
            paces = {name: _counted(sink, send) for name, send in senders.items()}
        figures += _lines(delay_ms, paces)
        facts[f"{delay_ms} ms"] = {name: asdict(pace) for name, pace in paces.items()}
    return Measured(figures=figures, remarks=["peer: smtplib, one thread each"], facts=facts)


def _lines(delay_ms: int, paces: Mapping[str, Pace]) -> list[Figure]:
    ours, many, theirs = (paces[name] for name in ("group 8", "group 32", "smtplib 8"))
    is_far = delay_ms in _FAR_MS
    return [
        Figure(
            name=f"{delay_ms} ms, 8 connections, mails/s",
            ours=ours.per_s,
            unit="/s",
            other=theirs.per_s,
            goal=_RATIO if is_far else None,
        ),
        Figure(
            name=f"{delay_ms} ms, 32 connections, one thread",
            ours=many.per_s,
            unit="/s",
            goal=_RATE if delay_ms == _FAR_MS[0] else None,
        ),
        Figure(
            name=f"{delay_ms} ms, CPU per mail", ours=ours.cpu_us, unit="us", other=theirs.cpu_us
        ),
    ]


def _counted(sink: OwnSink, run: Callable[[], Pace]) -> Pace:
    """Run a sender and believe only the sink."""
    before = sink.count()
    pace = run()
    arrived = sinks.settled_count(sink) - before
    if not pace.mails or arrived != pace.mails:
        raise LedgerOff(f"No rate: {pace.mails} mails were acknowledged, {arrived} arrived.")
    return pace


def _group(stand: Stand, port: int, mail: bytes, connections: int) -> Pace:
    server = Server(
        host="127.0.0.1",
        port=port,
        security=Security.NONE,
        connections=connections,
        allowed_networks=("127.0.0.0/8",),
    )
    journal = Journal(_journal_folder(stand.folder))
    group = Group(server)
    envelopes = [_envelope(number, mail) for number in range(connections * _PER_CONNECTION)]
    began, cpu = time.monotonic(), time.process_time()
    sent = 0
    while time.monotonic() - began < stand.sizes.rtt_s:
        sent += _submit(group, envelopes, journal)
    seconds, spent = time.monotonic() - began, time.process_time() - cpu
    group.close()
    return Pace(mails=sent, seconds=seconds, cpu_us=spent / max(sent, 1) * 1e6)


def _submit(group: Group, envelopes: Sequence[Envelope], journal: Journal) -> int:
    results = group.submit(envelopes, journal)
    return sum(result.verdict is Verdict.ACCEPTED for result in results)


def _envelope(number: int, mail: bytes) -> Envelope:
    return Envelope(
        key=b"%032x 1" % number,
        mail_from=_SENDER.encode(),
        rcpt_to=_RECIPIENT.encode(),
        render=lambda: mail,
    )


def _journal_folder(folder: Path) -> Path:
    path = folder / "journal"
    path.mkdir(exist_ok=True)
    return path


def _smtplib(port: int, mail: bytes, seconds: float) -> Pace:
    sent = [0] * _SAME_CONNECTIONS
    began, cpu = time.monotonic(), time.process_time()

    def send(number: int) -> None:
        with smtplib.SMTP("127.0.0.1", port) as server:
            while time.monotonic() - began < seconds:
                server.sendmail(_SENDER, [_RECIPIENT], mail)
                sent[number] += 1

    threads = [threading.Thread(target=send, args=(n,)) for n in range(_SAME_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, spent = time.monotonic() - began, time.process_time() - cpu
    return Pace(mails=sum(sent), seconds=took, cpu_us=spent / max(sum(sent), 1) * 1e6)
