"""What RabbitMQ reads at boot, with and without Docker."""

import json
import re
from datetime import timedelta

import pytest

from app.queueing.steps import LADDER, STEPS
from infra.local import rabbitmq
from infra.local.places import ROOT

FOLDER = ROOT / "infra/rabbitmq"


@pytest.fixture
def definitions():
    return json.loads((FOLDER / "definitions.json").read_text())


def policies_for(definitions, queue: str) -> list[str]:
    found = definitions["policies"]
    return [policy["name"] for policy in found if re.search(policy["pattern"], queue)]


def test_the_repository_holds_no_user_and_no_password(definitions) -> None:
    assert "users" not in definitions
    assert "password" not in json.dumps(definitions)


@pytest.mark.parametrize("queue", [queue for step in STEPS for queue in step.queues])
def test_every_work_queue_and_its_dead_letters_have_a_policy(definitions, queue: str) -> None:
    assert policies_for(definitions, queue) == ["work"]
    assert policies_for(definitions, f"dlq.{queue}") == ["waiting-and-dead"]


@pytest.mark.parametrize("rung", [rung.label for rung in LADDER])
def test_every_rung_of_the_ladder_has_a_policy(definitions, rung: str) -> None:
    assert policies_for(definitions, f"mail.retry.{rung}") == ["waiting-and-dead"]


def test_no_policy_throws_mail_away(definitions) -> None:
    lossy = {"max-length", "max-length-bytes", "message-ttl", "expires"}
    assert [it for it in definitions["policies"] if lossy & it["definition"].keys()] == []


def test_our_user_may_do_everything_in_our_vhost_only() -> None:
    made = rabbitmq.user_definition("secret")
    assert [(it["user"], it["vhost"]) for it in made["permissions"]] == [("mailqueue", "mailqueue")]


def test_a_consumer_may_hold_its_message_as_long_as_a_step_may_take() -> None:
    settings = (FOLDER / "rabbitmq.conf").read_text()
    found = re.search(r"(?m)^consumer_timeout = (\d+)$", settings)
    assert found
    limit = timedelta(milliseconds=int(found.group(1)))
    assert limit > max(step.time_limit for step in STEPS)
