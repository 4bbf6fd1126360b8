"""The topology as RabbitMQ's management API shows it."""

import pytest

from app.errors import ConfigurationInvalid
from app.queueing import topology
from app.queueing.steps import LADDER

WORK = [
    "schedule",
    *(f"{stage}.{lane}" for stage in ("assemble", "send") for lane in ("high", "normal", "low")),
    *("events", "webhooks", "inbound", "maintenance"),
]


@pytest.fixture(scope="module")
def declared(vhost):
    with vhost.channel() as channel:
        topology.declare(channel)
        topology.declare(channel)
    return {queue["name"]: queue for queue in vhost.api(f"queues/{vhost.name}")}


def test_nothing_but_the_designed_queues_exists(declared):
    retry = {f"mail.retry.{label}" for label in ("30s", "2m", "10m", "1h")}
    assert set(declared) == {*WORK, *(f"dlq.{name}" for name in WORK), *retry}


@pytest.mark.parametrize("name", WORK)
def test_work_queue_dead_letters_at_least_once_to_mail_dead(declared, name):
    assert declared[name]["type"] == "quorum"
    assert declared[name]["durable"]
    assert declared[name]["arguments"] == {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "mail.dead",
        "x-dead-letter-routing-key": name,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-delivery-limit": 20,
    }


@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.label)
def test_rung_expires_to_the_queue_a_message_came_from(declared, rung):
    arguments = declared[f"mail.retry.{rung.label}"]["arguments"]
    assert arguments["x-message-ttl"] == rung.delay.total_seconds() * 1000
    assert arguments["x-dead-letter-exchange"] == ""
    assert "x-dead-letter-routing-key" not in arguments


@pytest.mark.parametrize("name", WORK)
def test_dead_letter_queue_never_expires_and_is_bound_by_queue_name(declared, vhost, name):
    assert "x-message-ttl" not in declared[f"dlq.{name}"]["arguments"]
    bindings = vhost.api(f"bindings/{vhost.name}/e/mail.dead/q/dlq.{name}")
    assert [binding["routing_key"] for binding in bindings] == [name]


def test_exchanges_have_their_kinds(declared, vhost):
    kinds = {
        exchange["name"]: exchange["type"] for exchange in vhost.api(f"exchanges/{vhost.name}")
    }
    assert declared
    assert kinds["mail.dead"] == "direct"
    assert {kinds[f"mail.retry.{rung.label}"] for rung in LADDER} == {"fanout"}


def test_queue_with_other_arguments_is_refused_with_the_remedy(vhost):
    with vhost.channel() as channel:
        channel.queue_declare("reports", durable=True)
        with pytest.raises(ConfigurationInvalid) as refused:
            topology.declare(channel, topology.topology(["reports"]))
    assert refused.value.field == "reports"
    assert "inequivalent arg" in refused.value.why
    assert "delete queue name=reports" in refused.value.fix
