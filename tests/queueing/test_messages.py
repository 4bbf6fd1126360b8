"""Messages as bytes."""

from uuid import UUID

import dramatiq
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import MessageMalformed
from app.queueing import messages
from app.queueing.payloads import Payload, TickPayload, parse


class Numbered(Payload):
    app_id: UUID
    number: int


def test_encoded_message_is_what_dramatiq_reads():
    out = messages.encode("schedule_tick", "schedule", TickPayload(reason="test"), request_id="r1")
    message = dramatiq.Message.decode(out.body)
    assert out.queue == message.queue_name == "schedule"
    assert message.actor_name == "schedule_tick"
    assert message.kwargs == {"payload": {"reason": "test"}}
    assert message.options == {"request_id": "r1"}


@given(st.uuids(), st.integers(-(2**63), 2**63))
def test_payload_survives_the_journey(app_id, number):
    payload = Numbered(app_id=app_id, number=number)
    message = messages.decode(messages.encode("a", "q", payload).body)
    assert parse(Numbered, message.kwargs["payload"]) == payload


@given(st.binary() | st.recursive(st.none() | st.text(), st.lists).map(orjson.dumps))
def test_any_other_bytes_are_refused_as_malformed(body):
    with pytest.raises(MessageMalformed):
        messages.decode(body)


@pytest.mark.parametrize(
    "field", ["queue_name", "actor_name", "args", "kwargs", "options", "message_id"]
)
def test_wrong_field_is_named(field):
    fields = orjson.loads(messages.encode("a", "q", TickPayload()).body)
    with pytest.raises(MessageMalformed, match=field):
        messages.decode(orjson.dumps({**fields, field: 1.5}))


def test_unknown_field_is_named():
    fields = orjson.loads(messages.encode("a", "q", TickPayload()).body)
    with pytest.raises(MessageMalformed, match="unknown field colour"):
        messages.decode(orjson.dumps({**fields, "colour": "red"}))


def test_malformed_payload_names_its_field_but_never_its_value():
    with pytest.raises(MessageMalformed, match="number") as refused:
        parse(Numbered, {"app_id": str(UUID(int=1)), "number": "secret@example.com"})
    assert "secret" not in f"{refused.value} {refused.value.__cause__}"
