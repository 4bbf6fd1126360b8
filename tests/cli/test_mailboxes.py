"""`mailqueue mailbox`: set, tried step by step, shown and removed."""

import pytest

from tests.cli.conftest import Run

SENDER = "anna@shop.example"


@pytest.fixture
def sender(mailqueue: Run, shop: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("IMAP_PASSWORD", "open sesame")
    made = mailqueue("account", "create", "--app", shop, SENDER, "--host", "127.0.0.1")
    assert made.code == 0
    return shop


def test_a_mailbox_is_set_tried_shown_and_removed(mailqueue: Run, sender: str) -> None:
    place = ("--host", "127.0.0.1", "--port", "9", "--password-env", "IMAP_PASSWORD")
    words = ("--app", sender, SENDER)
    assert mailqueue("mailbox", "set", *words, *place).code == 0

    tried = mailqueue("mailbox", "test", *words, "--json")
    assert tried.code == 3
    assert [step["name"] for step in tried.json["steps"]] == ["resolve", "connect"]
    assert "Nothing listens on 127.0.0.1 port 9" in tried.err

    shown = mailqueue("mailbox", "show", *words, "--json")
    assert (shown.json["username"], shown.json["folder"]) == (SENDER, "INBOX")
    assert "sesame" not in shown.out

    assert mailqueue("mailbox", "remove", *words).code == 0
    assert mailqueue("mailbox", "show", *words).code == 1


def test_a_mailbox_needs_a_password(mailqueue: Run, sender: str) -> None:
    refused = mailqueue("mailbox", "set", "--app", sender, SENDER, "--host", "imap.example.com")
    assert refused.code == 1
    assert "--password-env" in refused.err
