"""`/v1/email-accounts/{id}/mailbox`: set, kept, tried and forgotten; its password never comes out."""

import pytest

from app.feedback import polls
from tests import factories
from tests.api.conftest import Desk, Person

BODY = {"host": "127.0.0.1", "port": 9, "username": "ann", "password": "open sesame"}


@pytest.fixture
def shop(desk: Desk) -> Person:
    return desk.person()


@pytest.fixture
def path(desk: Desk, shop: Person) -> str:
    account = factories.make_account(desk.session, shop.app_id)
    return f"/v1/email-accounts/{account.id}/mailbox"


def test_a_mailbox_is_set_and_shown_without_its_password(desk: Desk, shop: Person, path: str):
    answers = [shop.ask("PUT", path, json=BODY), shop.ask("GET", path)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert not any("sesame" in answer.text for answer in answers)
    shown = answers[1].json
    assert (shown["security"], shown["folder"], shown["interval_s"]) == ("tls", "INBOX", 60)
    assert (shown["failures"], shown["problem"]) == (0, None)
    ((kept, audited),) = desk.session.execute(
        "SELECT password_sealed, (SELECT string_agg(after::text, '') FROM audit_logs"
        " WHERE action = 'mailbox.created' AND app_id = m.app_id) FROM mailboxes m"
        " WHERE app_id = %s",
        (shop.app_id,),
    ).fetchall()
    assert "sesame" not in kept + audited


def test_the_password_stays_when_it_is_left_out(shop: Person, path: str):
    shop.put(path, BODY)
    said = {name: value for name, value in BODY.items() if name != "password"}
    assert shop.put(path, said | {"folder": "Replies"})["folder"] == "Replies"


@pytest.mark.parametrize("change", [{"host": "imap.example.com"}, {"username": "bob"}])
def test_elsewhere_the_password_is_needed_again(shop: Person, path: str, change: dict[str, str]):
    shop.put(path, BODY)
    said = {name: value for name, value in BODY.items() if name != "password"} | change
    refused = shop.ask("PUT", path, json=said)

    assert refused.status_code == 422
    assert "/password" in refused.text


@pytest.mark.parametrize(
    "change",
    [
        {"security": "none"},
        {"username": "ann\r\nA1 DELETE INBOX"},
        {"folder": "a\x00b"},
        {"interval_s": 1},
        {"host": "imap.example.com:993"},
        {"password": ""},
    ],
)
def test_what_cannot_be_is_refused(shop: Person, path: str, change: dict[str, object]):
    assert shop.ask("PUT", path, json=BODY | change).status_code == 422


def test_a_test_says_in_our_words_which_step_failed(shop: Person, path: str):
    shop.put(path, BODY)
    tried = shop.post(f"{path}/test")

    assert [step["name"] for step in tried["steps"]] == ["resolve", "connect"]
    assert (tried["ok"], tried["steps"][-1]["text"]) == (
        False,
        "The host does not answer on this port.",
    )


def test_why_it_is_not_read_is_shown_and_only_the_operator_reads_the_servers_words(
    desk: Desk, shop: Person, path: str
):
    desk.session.execute("DELETE FROM mailboxes")
    shop.put(path, BODY)
    polls.begin(desk.session)
    turn = polls.take(desk.session)
    assert turn is not None
    polls.failed(desk.session, turn, "auth", "The server refused the login: b'root of all'")

    shown = shop.get(path)
    assert (shown["failures"], shown["failed_step"]) == (1, "auth")
    assert shown["problem"] == "The server did not take the login."
    assert "root of all" in desk.operator(shop.app_id).get(path)["problem"]


def test_a_mailbox_is_forgotten(shop: Person, path: str):
    shop.put(path, BODY)
    shop.delete(path)

    assert shop.ask("GET", path).status_code == 404
