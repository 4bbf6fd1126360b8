"""What a submitted message carries, from its rows to the bytes a server gets."""

import email
import email.policy

import pytest

from app.errors import NotFound
from app.lifecycle import events
from tests.factories import attach, make_app, make_email, make_message, make_template_version

HTML = '<p>Hi {{ firstName }}</p><img src="cid:logo"><a href="https://shop.example/x">x</a>'
LARGE = bytes(range(256)) * 4_096  # 1 MB: more than a message of RabbitMQ may carry


def sent_to(inbox, address):
    (message,) = [one for one in inbox.messages() if one.rcpt_to == (address,)]
    raw = inbox.store.open(message.seq)[1]
    return email.message_from_bytes(raw, policy=email.policy.default)


def copy(session, email_id):
    """Return the kept copy of a mail."""
    (raw,) = session.execute(
        "SELECT raw FROM inbox_message_content WHERE ref_id = %s", (email_id,)
    ).fetchone()
    return email.message_from_bytes(raw, policy=email.policy.default)


def states(session):
    return dict(session.execute("SELECT to_email, status FROM emails").fetchall())


@pytest.fixture
def invoice(session, make_sender):
    """A message to one person, with a copy to another and a blind one to a third."""
    sender = make_sender()
    app_id = sender.app_id
    session.execute("UPDATE apps SET keeps_content = true WHERE id = %s", (app_id,))
    version = make_template_version(session, app_id, subject="Invoice", html=HTML)
    message_id = make_message(
        session,
        app_id,
        template_version_id=version,
        recipients=3,
        headers={"X-Order-Id": "4711", "In-Reply-To": "<order@shop.example>"},
        tracks_opens=False,
        tracks_clicks=False,
        addressing={
            "from_name": "Shop für Bücher",
            "reply_to": ["help@shop.example", "desk@shop.example"],
            "to": [{"email": "ana@a.example", "name": "Ana"}],
            "cc": [{"email": "bo@b.example", "name": None}],
        },
    )
    attach(
        session, app_id, message_id, b"PNG", filename="logo.png", content_type="image/png",
        content_id="logo", is_inline=True,
    )  # fmt: skip
    attach(
        session, app_id, message_id, LARGE, filename="Übersicht.pdf", position=1,
        content_type="application/pdf",
    )  # fmt: skip
    fields = sender.fields | {"template_version_id": version, "message_id": message_id}
    for to in ("ana@a.example", "bo@b.example", "eve@e.example"):
        make_email(session, app_id, to_email=to, **fields)
    return app_id


@pytest.mark.usefixtures("invoice")
def test_a_message_arrives_as_it_was_submitted(session, run_pass, fleet, inbox, until):
    fleet.start()
    assert run_pass().chunks == 1
    until(lambda: set(states(session).values()) == {"sent"}, 90)
    for address in ("ana@a.example", "bo@b.example", "eve@e.example"):
        mail = sent_to(inbox, address)
        assert str(mail["From"]).startswith("Shop für Bücher <sender")
        assert (mail["To"], mail["Cc"]) == ("Ana <ana@a.example>", "bo@b.example")
        assert (mail["Bcc"], mail["List-Unsubscribe"]) == (None, None)
        assert mail["Reply-To"] == "help@shop.example, desk@shop.example"
        assert (mail["X-Order-Id"], mail["In-Reply-To"]) == ("4711", "<order@shop.example>")
        html = mail.get_body(("html",)).get_content()
        assert 'src="cid:logo"' in html
        assert 'href="https://shop.example/x"' in html
        (pdf,) = mail.iter_attachments()
        assert (pdf.get_filename(), pdf.get_content()) == ("Übersicht.pdf", LARGE)
        assert [part.get_content() for part in mail.walk() if part["Content-ID"]] == [b"PNG"]
    kept = [copy(session, email_id) for (email_id,) in session.execute("SELECT id FROM emails")]
    assert [mail["Subject"] for mail in kept] == ["Invoice"] * 3
    assert [one.get_content() for mail in kept for one in mail.iter_attachments()] == [b""] * 3


def test_a_message_that_cannot_be_written_fails_with_the_reason(
    session, make_sender, run_pass, fleet, inbox, until
):
    sender = make_sender()
    message_id = make_message(session, sender.app_id, headers={"Bcc": "eve@e.example"})
    make_email(
        session, sender.app_id, to_email="ana@a.example", message_id=message_id, **sender.fields
    )
    fleet.start()
    run_pass()
    until(lambda: states(session) == {"ana@a.example": "failed"}, 90)
    (reason,) = session.execute("SELECT reason FROM emails").fetchone()
    assert "Bcc" in reason
    assert list(inbox.messages()) == []


@pytest.mark.usefixtures("configured")
def test_a_process_holds_encoded_files_up_to_a_bound(session):
    from actors.files import FileCache  # noqa: PLC0415 - the broker reads the test's settings

    app_id = make_app(session).id
    message_id = make_message(session, app_id)
    ids = [attach(session, app_id, message_id, bytes([n]) * 600, position=n) for n in range(3)]
    files = FileCache(most_bytes=2_000)
    bodies = files.bodies(session, app_id, ids)
    session.execute("DELETE FROM message_attachments")
    session.execute("DELETE FROM attachments")

    assert files.bodies(session, app_id, ids[1:]) == bodies[1:]
    with pytest.raises(NotFound):
        files.bodies(session, app_id, ids[:1])


def test_messages_that_look_the_same_share_a_chunk(
    session, make_sender, run_pass, fleet, inbox, until
):
    sender = make_sender()
    for number in range(5):
        to = f"r{number}@a.example"
        message_id = make_message(
            session,
            sender.app_id,
            template_version_id=sender.fields["template_version_id"],
            addressing={"to": [{"email": to, "name": "R"}]},
            headers={"X-Kind": "receipt"} if number < 3 else {"X-Kind": "reminder"},
            unsubscribe=number == 4,
        )
        make_email(
            session, sender.app_id, to_email=to, to_name="R", message_id=message_id, **sender.fields
        )
    fleet.start()
    assert run_pass().chunks == 3
    until(lambda: set(states(session).values()) == {"sent"}, 90)
    mails = [sent_to(inbox, f"r{number}@a.example") for number in range(5)]
    assert [str(mail["To"]) for mail in mails] == [f"R <r{n}@a.example>" for n in range(5)]
    assert [str(mail["X-Kind"]) for mail in mails] == ["receipt"] * 3 + ["reminder"] * 2
    assert [mail["List-Unsubscribe"] is not None for mail in mails] == [False] * 4 + [True]


WISHES = {
    "ana@example.com": ("delivered", ["attempt", "delivered"]),
    "bounce@simulator.example": ("bounced", ["attempt", "bounced"]),
    "complaint@simulator.example": ("complained", ["attempt", "complained", "delivered"]),
    "open@simulator.example": ("delivered", ["attempt", "delivered", "opened"]),
    "click@simulator.example": ("delivered", ["attempt", "clicked", "delivered", "opened"]),
    "unsubscribe@simulator.example": (
        "delivered",
        ["attempt", "delivered", "opened", "unsubscribed"],
    ),
    "refuse@simulator.example": ("failed", ["attempt"]),
    "unknown@simulator.example": ("unknown", ["attempt"]),
    "suppressed@simulator.example": ("suppressed", []),
}


def test_a_simulated_mail_has_every_outcome_and_no_server(
    session, make_sender, run_pass, fleet, inbox, until
):
    sender = make_sender(hourly_limit=100)
    app_id = sender.app_id
    session.execute("UPDATE apps SET keeps_content = true WHERE id = %s", (app_id,))
    version = make_template_version(session, app_id, subject="Hello", html=HTML)
    message_id = make_message(
        session, app_id, template_version_id=version, is_simulated=True, recipients=10
    )
    fields = sender.fields | {"template_version_id": version, "message_id": message_id}
    ids = {to: make_email(session, app_id, to_email=to, **fields) for to in WISHES}
    late = make_email(session, app_id, to_email="defer@simulator.example", **fields)
    fleet.start()
    run_pass()

    expected = {to: state for to, (state, _) in WISHES.items()}
    until(lambda: states(session).items() >= expected.items(), 90)
    for to, email_id in ids.items():
        kinds = {event.type for event in events.timeline(session, email_id)}
        assert sorted(kind for kind in kinds if not kind.startswith("first_")) == WISHES[to][1]
    until(lambda: _is_due_again(session, late), 90)
    run_pass()
    until(lambda: states(session)["defer@simulator.example"] == "delivered", 90)

    assert list(inbox.messages()) == []
    assert session.execute("SELECT count(*) FROM suppression_list").fetchone() == (0,)
    assert copy(session, ids["ana@example.com"])["To"] == "ana@example.com"


def _is_due_again(session, email_id):
    row = session.execute(
        "SELECT attempt, due_at <= now() FROM emails WHERE id = %s", (email_id,)
    ).fetchone()
    return row == (1, True)


def test_nothing_of_a_sandbox_app_is_sent(session, make_sender, run_pass, fleet, inbox, until):
    sender = make_sender(port=1)
    session.execute("UPDATE apps SET is_sandbox = true WHERE id = %s", (sender.app_id,))
    make_email(session, sender.app_id, to_email="ana@example.com", **sender.fields)
    fleet.start()
    run_pass()
    until(lambda: states(session) == {"ana@example.com": "delivered"}, 90)
    assert list(inbox.messages()) == []
