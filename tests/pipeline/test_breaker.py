"""A server that fails is left alone: no attempt is consumed, and it is asked one mail at a time."""

import pytest

from app.queueing.depth import DepthGauge
from app.sending import breakers
from app.smtp.breaker import Phase
from tests.factories import make_account, make_app, make_email, make_template_version

NOWHERE = 1


@pytest.fixture
def server(session, inbox):
    """What a test does to the SMTP server's address and its breaker."""
    return Server(session, inbox)


class Server:
    def __init__(self, session, inbox) -> None:
        self._session, self._port = session, inbox.smtp_port

    def vanish(self) -> None:
        self._session.execute("UPDATE smtp_configs SET port = %s", (NOWHERE,))

    def come_back(self) -> None:
        self._session.execute("UPDATE smtp_configs SET port = %s", (self._port,))

    def fail(self, times: int = 5) -> None:
        ((server_id,),) = self._session.execute("SELECT id FROM smtp_configs").fetchall()
        for _ in range(times):
            breakers.note_failure(self._session, server_id, "connect: refused")

    def let_time_pass(self) -> None:
        self._session.execute("UPDATE smtp_breakers SET probe_at = now() WHERE phase = 'open'")

    @property
    def phase(self) -> str | None:
        row = self._session.execute("SELECT phase FROM smtp_breakers").fetchone()
        return row[0] if row else None


@pytest.fixture
def rows(session):
    def read():
        query = "SELECT status, attempt, count(*) FROM emails GROUP BY 1, 2 ORDER BY 1"
        return session.execute(query).fetchall()

    return read


def test_five_failures_open_the_breaker_and_no_mail_loses_an_attempt(
    session, make_sender, server, run_pass, fleet, until, rows
) -> None:
    sender = make_sender()
    for _ in range(50):
        make_email(session, sender.app_id, **sender.fields)
    server.vanish()
    fleet.start()

    def is_open() -> bool:
        session.execute("UPDATE emails SET due_at = now() WHERE status = 'scheduled'")
        run_pass()
        return server.phase == Phase.OPEN

    until(is_open, 60)
    until(lambda: rows() == [("scheduled", 0, 50)])
    assert run_pass().released == 0
    query = "SELECT DISTINCT reason FROM emails"
    reasons = [row[0] for row in session.execute(query).fetchall()]
    assert all("SMTP server server" in r or r.startswith("connect") for r in reasons), reasons


def test_a_server_that_came_back_gets_three_probes_then_everything(
    session, make_sender, server, run_pass, fleet, inbox, until, rows
) -> None:
    sender = make_sender()
    for _ in range(50):
        make_email(session, sender.app_id, **sender.fields)
    server.fail()
    assert run_pass().released == 0
    server.let_time_pass()
    assert run_pass().released == 1
    fleet.start()
    until(lambda: len(inbox.messages()) == 1)
    until(lambda: rows() == [("scheduled", 0, 49), ("sent", 1, 1)])
    until(lambda: (run_pass(), rows() == [("sent", 1, 50)])[1])
    assert server.phase == Phase.CLOSED
    assert len(inbox.messages()) == 50


def test_mails_already_on_the_way_are_parked_until_the_probe(
    session, make_sender, server, run_pass, fleet, inbox, until, rows
) -> None:
    sender = make_sender()
    for _ in range(50):
        make_email(session, sender.app_id, **sender.fields)
    assert run_pass().released == 50
    server.fail()
    fleet.start()
    until(lambda: rows() == [("scheduled", 0, 50)])
    ((reason, waits),) = session.execute(
        "SELECT DISTINCT reason, due_at = (SELECT probe_at FROM smtp_breakers) FROM emails"
    ).fetchall()
    assert reason.startswith("breaker of SMTP server")
    assert reason.endswith("is open: connect: refused")
    assert waits
    assert inbox.messages() == []


def test_a_failed_probe_keeps_the_others_waiting(
    session, make_sender, server, run_pass, fleet, until, rows
) -> None:
    sender = make_sender()
    for _ in range(10):
        make_email(session, sender.app_id, **sender.fields)
    server.fail()
    server.vanish()
    server.let_time_pass()
    fleet.start()
    assert run_pass().released == 1
    until(lambda: server.phase == Phase.OPEN and "future" in _probe(session))
    until(lambda: rows() == [("scheduled", 0, 10)])
    assert run_pass().released == 0


def test_one_servers_breaker_stops_no_other_server(
    session, make_sender, server, run_pass, fleet, inbox, until
) -> None:
    sender = make_sender()
    stuck = make_email(session, sender.app_id, **sender.fields)
    server.fail()
    other = make_app(session).id
    account = make_account(session, other, server={"port": inbox.smtp_port})
    version = make_template_version(session, other)
    fields = {"account_id": account.id, "template_version_id": version}
    free = make_email(session, other, **fields)
    fleet.start()
    run_pass()
    query = "SELECT status FROM emails WHERE id = %s"
    until(lambda: session.execute(query, (free,)).fetchone() == ("sent",))
    assert session.execute(query, (stuck,)).fetchone() == ("scheduled",)


def test_refused_recipients_open_no_breaker(
    session, make_sender, server, run_pass, fleet, until, rows
) -> None:
    sender = make_sender()
    for number in range(8):
        to = f"bounce+550+{number}@example.com"
        make_email(session, sender.app_id, to_email=to, **sender.fields)
    session.execute("UPDATE queues SET micro_batch = 1")
    fleet.start()
    run_pass()
    until(lambda: rows() == [("failed", 1, 8)])
    assert server.phase is None


def test_nothing_of_a_breaker_stays_in_rabbitmq(
    session, configured, make_sender, server, run_pass, fleet, until, rows
) -> None:
    sender = make_sender()
    make_email(session, sender.app_id, **sender.fields)
    run_pass()
    server.fail()
    fleet.start()
    until(lambda: rows() == [("scheduled", 0, 1)])
    gauge = DepthGauge(configured.rabbitmq_url)
    assert [gauge.ready(f"mail.retry.{label}") for label in ("30s", "2m")] == [0, 0]
    gauge.close()


def _probe(session) -> str:
    query = "SELECT CASE WHEN probe_at > now() THEN 'future' ELSE 'past' END FROM smtp_breakers"
    return session.execute(query).fetchone()[0]
