"""The command line: what it does, how it refuses, what machines get."""

import importlib
import tomllib
from pathlib import Path

import psycopg
import pytest

from app.config import Settings
from app.inbox.offer import Offer
from app.inbox.server import Inbox

ROOT = Path(__file__).parents[2]


def rows(settings: Settings, table: str) -> int:
    with psycopg.connect(settings.database_url) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


@pytest.mark.parametrize("help_option", ["--help", "-h"])
def test_help_names_every_command(mailqueue, help_option: str) -> None:
    found = mailqueue(help_option)
    assert found.code == 0
    for name in ("init", "doctor", "migrate", "up", "leads", "campaign", "ledger"):
        assert name in found.out
    assert "4" in found.out


def test_the_version_is_that_of_the_distribution(mailqueue) -> None:
    told = mailqueue("--version").out.split()[-1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    source = project["tool"]["setuptools"]["dynamic"]["version"]["attr"]
    module, _, name = source.rpartition(".")
    assert told == getattr(importlib.import_module(module), name)


def test_an_unknown_command_is_wrong_usage(mailqueue) -> None:
    assert mailqueue("sned").code == 2


def test_wrong_usage_is_a_problem_object_for_machines(mailqueue) -> None:
    found = mailqueue("--json", "app", "create")
    assert found.code == 2
    assert found.out == ""
    assert found.problem["code"] == "usage"


def test_json_may_stand_behind_the_command(mailqueue, shop: str) -> None:
    assert [app["name"] for app in mailqueue("app", "list", "--json").json] == [shop]


def test_a_name_taken_is_refused(mailqueue, shop: str) -> None:
    found = mailqueue("app", "create", shop)
    assert found.code == 1
    assert "exists already" in found.err
    assert found.out == ""


def test_the_only_app_needs_no_name(mailqueue, shop: str) -> None:
    del shop
    assert mailqueue("account", "list").code == 0


def test_of_two_apps_one_must_be_named(mailqueue, shop: str) -> None:
    mailqueue("app", "create", "other")
    found = mailqueue("account", "list")
    assert found.code == 1
    assert "--app" in found.err
    assert mailqueue("account", "list", "--app", shop).code == 0


def test_a_misspelt_app_gets_a_suggestion(mailqueue, shop: str) -> None:
    del shop
    assert "Did you mean 'shop'?" in mailqueue("account", "list", "--app", "shpo").err


def test_the_database_away_is_3_with_what_to_do(
    mailqueue, monkeypatch: pytest.MonkeyPatch, configured: Settings
) -> None:
    from app import config  # noqa: PLC0415 - the cache belongs to the fixture

    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    config.settings.cache_clear()
    del configured
    found = mailqueue("app", "list", "--json")
    assert found.code == 3
    assert found.problem["code"] == "dependency_unavailable"
    assert "doctor" in found.problem["fix"]


def test_an_account_needs_a_server(mailqueue, shop: str) -> None:
    del shop
    found = mailqueue("account", "create", "anna@example.com", "--json")
    assert found.code == 1
    assert found.problem["field"] == "host"


def test_a_refused_account_leaves_no_server_behind(
    mailqueue, shop: str, configured: Settings
) -> None:
    del shop
    options = ("--host", "smtp.example.com", "--hourly-limit", "-5")
    found = mailqueue("account", "create", "anna@example.com", *options, "--json")
    assert found.code == 1
    assert found.problem["field"] == "hourly_limit"
    assert rows(configured, "smtp_configs") == 0


def test_limits_change_only_what_is_said(mailqueue, shop: str) -> None:
    del shop
    create_account(mailqueue, "smtp.example.com", 25)
    mailqueue("account", "limits", "anna@example.com", "--min-gap-ms", "5000")
    found = mailqueue("account", "limits", "anna@example.com", "--hourly-limit", "0", "--json")
    assert found.json[0]["min_gap_ms"] == 5000
    assert found.json[0]["hourly_limit"] is None


def create_account(mailqueue, host: str, port: int, *more: str) -> None:
    options = ("--host", host, "--port", port, "--security", "none", "--hourly-limit", "100")
    assert mailqueue("account", "create", "anna@example.com", *(more or options)).code == 0


def test_an_account_that_works_passes_its_test(mailqueue, shop: str, tmp_path: Path) -> None:
    del shop
    with Inbox(tmp_path / "inbox") as inbox:
        create_account(mailqueue, "127.0.0.1", inbox.smtp_port)
        found = mailqueue("account", "test", "anna@example.com", "--json")
    assert found.code == 0
    assert found.json["ok"]
    assert [step["ok"] for step in found.json["steps"]] == [True] * len(found.json["steps"])
    assert inbox.messages() == []


def test_a_host_that_does_not_exist_is_named(mailqueue, shop: str) -> None:
    del shop
    create_account(mailqueue, "no-such-host.invalid", 25)
    found = mailqueue("account", "test", "anna@example.com")
    assert found.code == 3
    assert "no-such-host.invalid" in found.err
    assert "FAILED" in found.out


def test_a_port_nobody_listens_on_names_the_connect_step(mailqueue, shop: str) -> None:
    del shop
    create_account(mailqueue, "127.0.0.1", 1)
    found = mailqueue("account", "test", "anna@example.com", "--json")
    assert found.code == 3
    assert found.problem["field"] == "connect"


def test_a_password_is_read_from_a_variable_and_never_shown(
    mailqueue, shop: str, monkeypatch: pytest.MonkeyPatch, configured: Settings
) -> None:
    del shop
    monkeypatch.setenv("SMTP_PW", "hunter2-canary")
    options = ("--host", "smtp.example.com", "--username", "anna", "--password-env", "SMTP_PW")
    found = mailqueue("account", "create", "anna@example.com", *options, "--json")
    assert found.code == 0
    assert "hunter2" not in found.out
    with psycopg.connect(configured.database_url) as connection:
        for table in ("smtp_configs", "audit_logs"):
            for row in connection.execute(f"SELECT {table}::text FROM {table}"):
                assert "hunter2" not in row[0]


def test_an_empty_password_variable_is_refused(mailqueue, shop: str) -> None:
    del shop
    options = ("--host", "smtp.example.com", "--username", "anna", "--password-env", "NOT_SET_PW")
    found = mailqueue("account", "create", "anna@example.com", *options)
    assert found.code == 1
    assert "NOT_SET_PW" in found.err


def test_a_wrong_password_names_the_step(
    mailqueue, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls_offer
) -> None:
    del shop
    monkeypatch.setenv("SMTP_PW", "wrong")
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_offer.ca_file))
    offer = Offer(tls=tls_offer.context, login=("anna", "right"))
    with Inbox(tmp_path / "inbox", offer=offer) as inbox:
        options = ("--host", "127.0.0.1", "--port", inbox.smtp_port, "--username", "anna")
        create_account(mailqueue, "", 0, *options, "--password-env", "SMTP_PW")
        found = mailqueue("account", "test", "anna@example.com", "--json")
    assert found.code == 3
    assert found.problem["field"] == "auth"
    assert "535" in found.problem["detail"]
    assert "wrong" not in found.err.replace("wrong password", "")


def template_file(folder: Path, body: str) -> Path:
    path = folder / "mail.html"
    path.write_text(f"<title>Hello {{{{firstName|'you'}}}}</title>\n{body}\n")
    return path


def test_a_template_becomes_a_version_and_again_does_not(
    mailqueue, shop: str, tmp_path: Path
) -> None:
    del shop
    path = template_file(tmp_path, "<p>{{ company.name }}</p>")
    first = mailqueue("template", "save", "hello", "--html", path, "--json").json
    again = mailqueue("template", "save", "hello", "--html", path, "--json").json
    assert (first["version"], again["version"], again["is_unchanged"]) == (1, 1, True)
    assert first["subject"] == "Hello {{firstName|'you'}}"
    assert mailqueue("template", "list", "--json").json[0]["name"] == "hello"
    assert "company.name" in mailqueue("template", "show", "hello").out


def test_a_syntax_error_shows_its_line_and_saves_nothing(
    mailqueue, shop: str, tmp_path: Path, configured: Settings
) -> None:
    del shop
    path = template_file(tmp_path, "<p>one</p>\n<p>{{ broken( }}</p>")
    found = mailqueue("template", "save", "hello", "--html", path)
    assert found.code == 1
    assert "html line 3" in found.err
    assert ">    3 | <p>{{ broken( }}</p>" in found.err
    assert rows(configured, "templates") == 0


def test_a_syntax_error_lists_its_lines_for_machines(mailqueue, tmp_path: Path) -> None:
    path = template_file(tmp_path, "{% if a %}")
    found = mailqueue("template", "check", "--html", path, "--json")
    assert found.code == 1
    assert found.problem["problems"][0]["part"] == "html"


def test_a_template_without_subject_is_refused(mailqueue, tmp_path: Path) -> None:
    path = tmp_path / "mail.txt"
    path.write_text("hello")
    found = mailqueue("template", "check", "--text", path, "--json")
    assert (found.code, found.problem["field"]) == (1, "subject")


def test_a_template_that_is_not_utf8_is_refused(mailqueue, tmp_path: Path) -> None:
    path = tmp_path / "mail.html"
    path.write_bytes(b"<title>caf\xe9</title>")
    found = mailqueue("template", "check", "--html", path)
    assert found.code == 1
    assert "UTF-8" in found.err


def test_leads_are_imported_once(mailqueue, shop: str, tmp_path: Path) -> None:
    del shop
    path = tmp_path / "leads.csv"
    path.write_text("email,firstName\nanna@example.com,Anna\nbroken@,Bo\nanna@example.com,A\n")
    first = mailqueue("leads", "import", path, "--json").json
    assert (first["rows"], first["added"], first["duplicates"], first["invalid"]) == (3, 1, 1, 1)
    assert Path(first["rejects_file"]).read_text().count("\n") == 3
    assert mailqueue("leads", "import", path, "--json").json["added"] == 0


def test_a_broken_csv_names_its_line_and_imports_nothing(
    mailqueue, shop: str, tmp_path: Path, configured: Settings
) -> None:
    del shop
    path = tmp_path / "leads.csv"
    path.write_text("email,firstName\nanna@example.com,Anna\nbo@example.com\n")
    found = mailqueue("leads", "import", path, "--json")
    assert found.code == 1
    assert found.problem["field"] == "line 3"
    assert rows(configured, "leads") == 0


def test_an_unknown_timezone_rejects_its_row(mailqueue, shop: str, tmp_path: Path) -> None:
    del shop
    path = tmp_path / "leads.csv"
    path.write_text("email,timezone\nanna@example.com,Europe/Atlantis\n")
    found = mailqueue("leads", "import", path, "--json").json
    assert found["invalid"] == 1
    assert "Europe/Atlantis" in Path(found["rejects_file"]).read_text()


def test_a_missing_file_is_refused(mailqueue, shop: str, tmp_path: Path) -> None:
    del shop
    assert mailqueue("leads", "import", tmp_path / "none.csv").code == 1


def test_an_empty_ledger_balances(mailqueue, shop: str) -> None:
    del shop
    found = mailqueue("ledger", "--json")
    assert (found.code, found.json["off_by"]) == (0, 0)


def test_a_ledger_that_is_off_is_4(mailqueue, shop: str, configured: Settings) -> None:
    del shop
    with psycopg.connect(configured.database_url) as connection:
        connection.execute(
            "WITH v AS (INSERT INTO template_versions (id, app_id, subject, content_hash)"
            "  SELECT gen_random_uuid(), id, 's', 'h' FROM apps RETURNING id, app_id)"
            " INSERT INTO messages (id, app_id, template_version_id, recipients)"
            " SELECT gen_random_uuid(), app_id, id, 2 FROM v"
        )
    found = mailqueue("ledger", "--json")
    assert found.code == 4
    assert found.json["off_by"] == 2
    assert found.problem["code"] == "ledger_off"


def test_migrate_check_tells_old_from_current(mailqueue) -> None:
    assert mailqueue("migrate", "--check").code == 0
    assert mailqueue("migrate").code == 0


def test_doctor_names_what_is_away(mailqueue, monkeypatch: pytest.MonkeyPatch) -> None:
    from app import config  # noqa: PLC0415 - the cache belongs to the fixture

    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    config.settings.cache_clear()
    found = mailqueue("doctor", "--only", "redis", "--only", "postgresql", "--json")
    assert found.code == 3
    by_name = {line["name"]: line for line in found.json}
    assert not by_name["redis"]["ok"]
    assert by_name["redis"]["fix"]
    assert by_name["migrations"]["ok"]
    assert by_name["partitions"]["ok"]


def test_doctor_says_how_queues_come_to_be(mailqueue) -> None:
    found = mailqueue("doctor", "--only", "rabbitmq", "--json")
    assert found.code == 3
    assert "declare" in found.json[1]["fix"]
