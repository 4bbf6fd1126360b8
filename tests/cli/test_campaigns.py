"""Campaigns on the command line: from the file to running, and every refusal with its line."""

from pathlib import Path

import pytest

DEFINITION = """\
name: Spring
accounts: [anna@example.com]
steps:
  - template: hello
  - template: hello
    wait_duration_hours: 24
"""


@pytest.fixture
def ready(mailqueue, shop: str, tmp_path: Path) -> str:
    """An app with an account, a template and two leads."""
    options = ("--host", "smtp.example.com", "--security", "none")
    assert mailqueue("account", "create", "anna@example.com", *options).code == 0
    template = tmp_path / "hello.html"
    template.write_text("<title>Hello</title><p>{{firstName|'there'}}</p>")
    assert mailqueue("template", "save", "hello", "--html", template).code == 0
    leads = tmp_path / "leads.csv"
    leads.write_text("email,firstName\nbo@example.com,Bo\nmia@example.com,\n")
    assert mailqueue("leads", "import", leads).code == 0
    return shop


@pytest.fixture
def create(mailqueue, tmp_path: Path):
    def run(text: str, *options: str):
        path = tmp_path / "campaign.yaml"
        path.write_text(text)
        return mailqueue("campaign", "create", "-f", path, *options)

    return run


def test_a_campaign_goes_its_ways(mailqueue, ready: str, create) -> None:
    del ready
    assert create(DEFINITION, "--json").json["status"] == "draft"
    for word, status in [
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "cancelled"),
    ]:
        assert mailqueue("campaign", word, "Spring", "--json").json["status"] == status
    assert mailqueue("campaign", "list", "--json").json[0]["status"] == "cancelled"


def test_showing_a_campaign_has_funnel_and_ledger(mailqueue, ready: str, create) -> None:
    del ready
    create(DEFINITION)
    mailqueue("campaign", "start", "Spring")
    shown = mailqueue("campaign", "show", "Spring", "--json").json
    assert [step["position"] for step in shown["funnel"]["steps"]] == [1, 2]
    assert shown["ledger"]["off_by"] == 0
    assert "unsubscribed" in mailqueue("campaign", "show", "Spring").out
    assert mailqueue("ledger", "--campaign", "Spring", "--json").json["of"] == "campaign Spring"


def test_a_staged_release_is_shown_and_let_go(mailqueue, ready: str, create) -> None:
    del ready
    create(DEFINITION + "staged_release: {percent: 1, least: 1}\n")
    mailqueue("campaign", "start", "Spring")
    stage = mailqueue("campaign", "show", "Spring", "--json").json["stage"]
    assert (stage["phase"], stage["size"], stage["percent"]) == ("first", 1, 1.0)
    assert "stage phase" in mailqueue("campaign", "show", "Spring").out
    assert mailqueue("campaign", "go-on", "Spring", "--json").json["status"] == "running"
    assert mailqueue("campaign", "show", "Spring", "--json").json["stage"]["reason"] == (
        "overruled by cli"
    )


def test_an_unknown_timezone_names_line_and_field(mailqueue, ready: str, create) -> None:
    del ready
    found = create(DEFINITION + "timezone: Europe/Atlantis\n", "--json")
    assert found.code == 1
    assert found.problem["field"] == "timezone"
    assert "line 7" in found.problem["title"]
    assert mailqueue("campaign", "list", "--json").json == []


def test_a_missing_template_leaves_no_campaign(mailqueue, ready: str, create) -> None:
    del ready
    found = create(DEFINITION.replace("hello", "helo"), "--json")
    assert found.code == 1
    assert found.problem["code"] == "not_found"
    assert mailqueue("campaign", "list", "--json").json == []


def test_broken_yaml_names_its_line(mailqueue, ready: str, create) -> None:
    del mailqueue, ready
    found = create("name: [open\n", "--json")
    assert (found.code, found.problem["code"]) == (1, "input_invalid")
    assert "line" in found.problem["title"]


def test_a_finished_move_is_refused(mailqueue, ready: str, create) -> None:
    del ready
    create(DEFINITION)
    found = mailqueue("campaign", "resume", "Spring", "--json")
    assert (found.code, found.problem["code"]) == (1, "conflict")


def test_an_unknown_campaign_names_those_there_are(mailqueue, ready: str, create) -> None:
    del ready
    create(DEFINITION)
    assert "'Spring'" in mailqueue("campaign", "show", "Sprung").err
