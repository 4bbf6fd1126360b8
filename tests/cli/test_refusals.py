"""Bad input that once ended in a traceback, or in something half-done."""

import os
import threading
from pathlib import Path

import pytest

from app import config
from app.config import Settings
from tests.cli.test_commands import rows


@pytest.fixture
def environment(configured: Settings, monkeypatch: pytest.MonkeyPatch):
    """Sets a variable for the commands of this test."""
    del configured

    def change(name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        config.settings.cache_clear()

    return change


def leads_file(folder: Path, *lines: str) -> Path:
    path = folder / "leads.csv"
    path.write_text("\n".join(("email", *lines)) + "\n")
    return path


def test_a_rejects_file_that_cannot_be_written_names_the_option(
    mailqueue, shop: str, tmp_path: Path, configured: Settings
) -> None:
    del shop
    path = leads_file(tmp_path, "anna@example.com", "nonsense")
    nowhere = tmp_path / "nowhere" / "rejects.csv"
    found = mailqueue("leads", "import", path, "--rejects", nowhere, "--json")
    assert (found.code, found.problem["field"]) == (1, "rejects")
    assert "Nothing was imported" in found.problem["detail"]
    assert rows(configured, "leads") == 0


def test_leads_come_through_a_pipe(mailqueue, shop: str, tmp_path: Path) -> None:
    del shop
    pipe = tmp_path / "leads.pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("email\nanna@example.com\n",))
    writer.start()
    assert mailqueue("leads", "import", pipe, "--json").json["added"] == 1
    writer.join(5)


def test_leads_are_not_hashed_without_the_pepper(
    mailqueue, shop: str, tmp_path: Path, environment, configured: Settings
) -> None:
    del shop
    environment("MAILQUEUE_ADDRESS_PEPPER", "")
    found = mailqueue("leads", "import", leads_file(tmp_path, "anna@example.com"), "--json")
    assert (found.code, found.problem["field"]) == (1, "MAILQUEUE_ADDRESS_PEPPER")
    assert rows(configured, "leads") == 0


def test_two_accounts_of_one_host_have_a_server_each(mailqueue, shop: str) -> None:
    del shop
    for name in ("anna", "bob"):
        address = f"{name}@example.com"
        assert mailqueue("account", "create", address, "--host", "smtp.example.com").code == 0


def test_an_account_is_found_by_the_address_it_was_made_with(mailqueue, shop: str) -> None:
    del shop
    address = "anna@B\u00fccher.example"
    assert mailqueue("account", "create", address, "--host", "smtp.example.com").code == 0
    assert mailqueue("account", "limits", address).code == 0


def test_a_nul_in_a_campaign_file_names_its_line(mailqueue, shop: str, tmp_path: Path) -> None:
    del shop
    path = tmp_path / "campaign.yaml"
    path.write_text('accounts: [a@example.com]\nname: "a\\x00b"\nsteps: [{template: w}]\n')
    found = mailqueue("campaign", "create", "-f", path, "--json")
    assert (found.code, found.problem["field"]) == (1, "line 2")


def test_a_database_url_that_is_none_is_named(mailqueue, environment) -> None:
    environment("DATABASE_URL", "nonsense")
    found = mailqueue("app", "list", "--json")
    assert (found.code, found.problem["field"]) == (1, "DATABASE_URL")


def test_the_database_away_says_where_it_was_looked_for(mailqueue, environment) -> None:
    environment("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    detail = mailqueue("app", "list", "--json").problem["detail"]
    assert "port 1 failed: Connection refused." in detail
