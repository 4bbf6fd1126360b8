"""One e-mail is taken: route, content, recipients, files; and what is refused."""

import base64
import datetime as dt

import pytest

from app.clock import utc_now
from app.db.session import tenant_transaction
from app.errors import Conflict, Forbidden, InputInvalid, TemplateInvalid
from app.lifecycle import ledger
from app.lifecycle.states import State
from app.policy.suppression import Reason, add
from app.privacy import address_hash
from app.submission.accept import accept
from app.submission.schemas import Email
from tests.factories import PEPPER, make_account, make_queue, make_template_version
from tests.submission.conftest import DESK, MAIL


@pytest.fixture
def mails(session):
    def read():
        query = (
            "SELECT to_email, status, reason, priority, due_at, variables FROM emails ORDER BY id"
        )
        return session.execute(query).fetchall()

    return read


def test_each_recipient_has_a_row_of_its_own(session, app_id, submit) -> None:
    done = submit(to=["ana@example.com"], cc=["ben@example.com"], bcc=[{"email": "cy@example.com"}])
    assert [(copy.email, copy.kind) for copy in done.copies] == [
        ("ana@example.com", "to"),
        ("ben@example.com", "cc"),
        ("cy@example.com", "bcc"),
    ]
    rows = session.execute("SELECT id, message_id FROM emails").fetchall()
    assert {row[0] for row in rows} == {copy.id for copy in done.copies}
    assert {row[1] for row in rows} == {done.id} == {done.copies[0].id}
    assert ledger.of_app(session, app_id).off_by == 0


def test_a_blind_copy_stands_in_no_header(session, submit) -> None:
    submit(bcc=["cy@example.com"], reply_to="help@example.org")
    ((addressing,),) = session.execute("SELECT addressing FROM messages").fetchall()
    assert addressing == {
        "from_name": None,
        "reply_to": ["help@example.org"],
        "to": [{"email": "ana@example.com", "name": None}],
        "cc": [],
    }


def test_the_suppressed_are_reported_and_kept(session, app_id, submit, mails) -> None:
    add(session, app_id, address_hash("ben@example.com", PEPPER), email=None, reason=Reason.MANUAL)
    done = submit(to=["ana@example.com", "ben@example.com"])
    assert [copy.state for copy in done.copies] == [State.SCHEDULED, State.SUPPRESSED]
    assert {row[0]: row[1] for row in mails()} == {
        "ana@example.com": "scheduled",
        "ben@example.com": "suppressed",
    }
    assert ledger.of_app(session, app_id).off_by == 0


def test_a_time_that_has_passed_is_now(submit, mails) -> None:
    submit(scheduled_at="2024-01-15T10:00:00Z")
    assert abs(mails()[0][4] - utc_now()) < dt.timedelta(minutes=5)


def test_a_local_time_is_read_in_its_zone(submit) -> None:
    done = submit(scheduled_at="2100-07-01T10:00:00", timezone="Europe/Berlin")
    assert done.due_at == dt.datetime(2100, 7, 1, 8, tzinfo=dt.UTC)


def test_the_queue_gives_its_priority_unless_the_mail_has_one(
    session, app_id, submit, mails
) -> None:
    queue = make_queue(session, app_id, name="alerts", priority=9)
    submit(queue="alerts")
    submit(queue=str(queue.id), priority=2, to="ben@example.com")
    assert {row[0]: row[3] for row in mails()} == {"ana@example.com": 9, "ben@example.com": 2}


def test_a_known_sender_is_used_and_a_new_one_opened_once(session, app_id, submit) -> None:
    known = make_account(session, app_id, address="known@example.org")
    submit(**{"from": {"email": "known@example.org"}})
    submit(**{"from": {"email": "new@example.org"}})
    submit(**{"from": {"email": "new@example.org"}})
    rows = session.execute("SELECT id, address FROM email_accounts ORDER BY address").fetchall()
    assert [row[1] for row in rows] == ["known@example.org", "new@example.org"]
    ((used,),) = session.execute(
        "SELECT count(*) FROM emails WHERE account_id = %s", (known.id,)
    ).fetchall()
    assert used == 1


def test_the_same_content_is_stored_once(session, submit) -> None:
    submit()
    submit(to="ben@example.com")
    assert session.execute("SELECT count(*) FROM template_versions").fetchone() == (1,)


def test_a_template_is_named_by_name_or_id(session, app_id, submit) -> None:
    version = make_template_version(session, app_id)
    query = "SELECT id, name FROM templates"
    ((template_id, name),) = session.execute(query).fetchall()
    plain = {"subject": None, "html": None, "variables": {"firstName": "Ana"}}
    submit(template_id=name, **plain)
    submit(template_id=str(template_id), template_version=1, to="ben@example.com", **plain)
    rows = session.execute("SELECT DISTINCT template_version_id FROM emails").fetchall()
    assert rows == [(version,)]
    with pytest.raises(InputInvalid, match="no template"):
        submit(template_id=name, template_version=2, **plain)


def test_files_are_stored_once_by_content(session, submit) -> None:
    content = base64.b64encode(b"%PDF").decode()
    file = {"filename": "a.pdf", "content": content, "content_type": "application/pdf"}
    logo = {"filename": "l.png", "content": content, "content_id": "logo", "inline": True}
    submit(attachments=[file, logo | {"content_type": "image/png"}])
    submit(attachments=[file])
    assert session.execute("SELECT count(*) FROM attachments").fetchone() == (2,)
    rows = session.execute(
        "SELECT position, filename, content_id, is_inline FROM message_attachments "
        "ORDER BY message_id, position"
    ).fetchall()
    assert rows == [
        (0, "a.pdf", None, False),
        (1, "l.png", "logo", True),
        (0, "a.pdf", None, False),
    ]


def test_a_file_that_is_stored_already_is_touched_when_it_is_old(session, submit) -> None:
    file = {"filename": "a.pdf", "content": "JVBERg==", "content_type": "application/pdf"}
    row = "SELECT xmin::text, created_at > now() - interval '1 hour' FROM attachments"
    submit(attachments=[file])
    young = session.execute(row).fetchall()
    submit(attachments=[file])
    assert session.execute(row).fetchall() == young
    session.execute("UPDATE attachments SET created_at = now() - interval '2 days'")
    submit(attachments=[file])
    ((_, is_young),) = session.execute(row).fetchall()
    assert is_young


def test_messages_with_the_same_files_never_wait_crosswise(session, submit) -> None:
    files = [
        {"filename": f"{n}.txt", "content": text, "content_type": "text/plain"}
        for n, text in enumerate(("YQ==", "Yg==", "Yw=="))
    ]
    submit(attachments=files)
    submit(attachments=files[::-1])
    hashes = session.execute(
        "SELECT f.message_id, f.position, f.filename, a.content FROM message_attachments f "
        "JOIN attachments a ON a.id = f.attachment_id ORDER BY 1, 2"
    ).fetchall()
    assert [row[2:] for row in hashes] == [
        ("0.txt", b"a"), ("1.txt", b"b"), ("2.txt", b"c"),
        ("2.txt", b"c"), ("1.txt", b"b"), ("0.txt", b"a"),
    ]  # fmt: skip
    stored = session.execute("SELECT content_hash FROM attachments ORDER BY ctid").fetchall()
    assert stored == sorted(stored)


def test_features_stand_on_the_message(session, submit) -> None:
    submit(
        headers={"X-Order": "7"},
        tags=["welcome"],
        metadata={"user": 5},
        tracking={"opens": False},
        unsubscribe=True,
    )
    row = session.execute(
        "SELECT headers, tags, metadata, tracks_opens, tracks_clicks, unsubscribe, is_simulated "
        "FROM messages"
    ).fetchone()
    assert row == ({"X-Order": "7"}, ["welcome"], {"user": 5}, False, None, True, False)


def test_a_test_key_and_a_sandbox_app_simulate(session, who) -> None:
    order = Email.model_validate(MAIL)
    accept(session, who(is_simulated=True), order, DESK)
    session.execute("UPDATE apps SET is_sandbox = true")
    accept(session, who(), order, DESK)
    rows = session.execute("SELECT is_simulated FROM messages").fetchall()
    assert rows == [(True,), (True,)]


def test_the_apis_own_role_can_submit(session, app_id, who) -> None:
    add(session, app_id, address_hash("ben@example.com", PEPPER), email=None, reason=Reason.MANUAL)
    file = {"filename": "a.txt", "content": "YQ=="}
    order = Email.model_validate(
        MAIL | {"to": ["ana@example.com", "ben@example.com"], "attachments": [file]}
    )
    make_account(session, app_id, address="sender@example.org")
    with tenant_transaction(session, app_id):
        done = accept(session, who(), order, DESK)
    assert len(done.copies) == 2


def test_an_unknown_queue_is_refused(submit) -> None:
    with pytest.raises(InputInvalid) as refused:
        submit(queue="nowhere")
    assert refused.value.field == "queue"


def test_a_draining_queue_takes_nothing(session, app_id, submit) -> None:
    make_queue(session, app_id, name="old")
    session.execute("UPDATE queues SET status = 'draining' WHERE name = 'old'")
    with pytest.raises(Conflict):
        submit(queue="old")


def test_a_suspended_app_submits_nothing(session, submit) -> None:
    session.execute("UPDATE apps SET status = 'suspended'")
    with pytest.raises(Forbidden):
        submit()


def test_a_mail_that_expired_already_is_refused(submit) -> None:
    with pytest.raises(InputInvalid, match="expired"):
        submit(expires_at="2024-01-01T00:00:00Z")


def test_content_that_cannot_be_written_is_refused(submit) -> None:
    with pytest.raises(TemplateInvalid):
        submit(html="{{ unclosed")


def test_too_large_files_are_refused(session, submit) -> None:
    session.execute("""UPDATE apps SET settings = '{"attachments_total_bytes": 2}'""")
    with pytest.raises(InputInvalid) as refused:
        submit(attachments=[{"filename": "a.txt", "content": "YWJj"}])
    assert refused.value.field.startswith("attachments")
