"""`mailqueue user`: the first super_admin, without a password on the command line."""

import pytest

from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEW_PASSWORD", "correct horse battery staple")


def test_the_first_super_admin_is_created_and_listed(mailqueue: Run):
    made = mailqueue(
        "user", "create", "root@example.org", "--role", "super_admin",
        "--password-env", "NEW_PASSWORD", "--json",
    )  # fmt: skip
    assert made.code == 0
    assert "battery" not in made.out
    (listed,) = mailqueue("user", "list", "--json").json
    assert (listed["email"], listed["role"]) == ("root@example.org", "super_admin")


def test_a_person_of_an_app_is_disabled(mailqueue: Run, shop: str):
    mailqueue(
        "user", "create", "ana@shop.example", "--role", "viewer", "--app", shop,
        "--password-env", "NEW_PASSWORD",
    )  # fmt: skip
    assert mailqueue("user", "disable", "ana@shop.example", "--json").json["is_disabled"]
    assert mailqueue("user", "disable", "bob@shop.example").code == 1


def test_an_empty_variable_is_refused(mailqueue: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NEW_PASSWORD", "")
    refused = mailqueue(
        "user", "create", "root@example.org", "--role", "super_admin",
        "--password-env", "NEW_PASSWORD", "--json",
    )  # fmt: skip
    assert refused.code == 1
    assert refused.problem["field"] == "password-env"
