"""A mail that ends its worker: its neighbours go on, and it fails with a reason."""

import os
import subprocess
import sys

import pytest

from app.clock import utc_now
from app.lifecycle import chunks, transitions
from tests.factories import make_email
from tests.pipeline.conftest import ROOT, Fleet


class PoisonedFleet(Fleet):
    """A fleet that dies of some mails; `revive` does what a supervisor does."""

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dramatiq", "tests.pipeline.poisoned", "-p", "1", "-t", "3"],
                cwd=ROOT,
                env=dict(os.environ),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def revive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.start()


@pytest.fixture
def poisoned(configured, tmp_path):
    del configured
    running = PoisonedFleet(tmp_path / "fleet.log")
    yield running
    running.kill()


def test_a_mail_whose_worker_died_is_released_alone(session, make_sender, run_pass) -> None:
    sender = make_sender()
    for _ in range(10):
        make_email(session, sender.app_id, **sender.fields)
    for _ in range(2):
        make_email(session, sender.app_id, starts=1, **sender.fields)
    assert run_pass().chunks == 3


def test_a_mail_that_was_released_again_is_no_longer_of_its_old_chunk(
    session, make_sender, run_pass
) -> None:
    sender = make_sender()
    email_id, stays = (make_email(session, sender.app_id, **sender.fields) for _ in range(2))
    run_pass()
    transitions.hold_back(session, [email_id], due_at=utc_now(), reason="its worker died")
    run_pass()
    query = "SELECT id FROM released_chunks ORDER BY id"
    old, new = (row[0] for row in session.execute(query).fetchall())
    assert chunks.released_with(session, old, [email_id, stays]) == [stays]
    assert chunks.released_with(session, new, [email_id, stays]) == [email_id]


def test_neighbours_of_a_poison_message_are_sent_and_it_fails_with_a_reason(
    session, make_sender, run_pass, poisoned, inbox, until
) -> None:
    sender = make_sender()
    for _ in range(20):
        make_email(session, sender.app_id, **sender.fields)
    bad = make_email(session, sender.app_id, to_email="poison@example.com", **sender.fields)
    session.execute("UPDATE emails SET starts = 2 WHERE id = %s", (bad,))

    def is_over() -> bool:
        poisoned.revive()
        session.execute("UPDATE emails SET due_at = now() WHERE due_at > now()")
        run_pass()
        left = "SELECT count(*) FROM emails WHERE status IN ('scheduled', 'queued', 'sending')"
        return session.execute(left).fetchone() == (0,)

    until(is_over, 60)
    rows = session.execute("SELECT status, count(*) FROM emails GROUP BY 1").fetchall()
    assert dict(rows) == {"sent": 20, "failed": 1}
    reason = session.execute("SELECT reason FROM emails WHERE id = %s", (bad,)).fetchone()[0]
    # A slow machine may let the last of them die on the redelivered message before it.
    stage, did = (
        ("assemble.normal", "assembled") if "assembled" in reason else ("send.normal", "held")
    )
    assert reason == f"local: poison message: 4 workers died while they {did} this mail"
    assert len(inbox.messages()) == 20
    query = "SELECT error_class, queue, published_at FROM dead_letters"
    assert session.execute(query).fetchall() == [("PoisonMessage", stage, None)]


def test_a_mail_that_ends_its_worker_in_assembly_fails_and_its_neighbours_are_sent(
    session, make_sender, run_pass, poisoned, inbox, until
) -> None:
    sender = make_sender()
    for _ in range(10):
        make_email(session, sender.app_id, **sender.fields)
    bad = make_email(session, sender.app_id, to_email="venom@example.com", **sender.fields)
    for _ in range(10):
        make_email(session, sender.app_id, **sender.fields)
    run_pass()

    def is_over() -> bool:
        poisoned.revive()
        left = "SELECT count(*) FROM emails WHERE status IN ('queued', 'sending')"
        return session.execute(left).fetchone() == (0,)

    until(is_over, 120)
    rows = session.execute("SELECT status, count(*) FROM emails GROUP BY 1").fetchall()
    assert dict(rows) == {"sent": 20, "failed": 1}
    query = "SELECT reason, starts FROM emails WHERE id = %s"
    reason, starts = session.execute(query, (bad,)).fetchone()
    assert reason == "local: poison message: 4 workers died while they assembled this mail"
    assert starts > 0
    assert len(inbox.messages()) == 20
    letters = session.execute("SELECT error_class, queue, message FROM dead_letters").fetchall()
    assert [letter[:2] for letter in letters] == [("PoisonMessage", "assemble.normal")]
    assert letters[0][2]["kwargs"]["payload"]["email_ids"] == [str(bad)]
