"""What may be submitted: any JSON is either taken or refused in words, never an accident."""

import datetime as dt

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.submission.schemas import Batch, Email, moment

PLAIN = {"from": "a@example.org", "to": "b@example.com", "subject": "s", "text": "t"}
NAMES = (*Email.model_fields, *Batch.model_fields, "from", "unknown")

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
patient = settings(deadline=None, suppress_health_check=list(HealthCheck))


@patient
@given(st.sampled_from(NAMES), anything)
def test_any_value_of_any_field_is_taken_or_refused(name, value) -> None:
    for kind in (Email, Batch):
        try:
            order = kind.model_validate(PLAIN | {name: value})
        except ValidationError:
            pass
        else:
            assert order.due_at(dt.datetime.now(dt.UTC)).tzinfo is dt.UTC
            orjson.dumps(order.values())


@patient
@given(st.datetimes(), st.sampled_from(["Europe/Berlin", "Asia/Kathmandu", "UTC", None]))
def test_every_time_becomes_utc_or_is_refused(value, zone) -> None:
    try:
        found = moment(value, zone, "x")
    except ValueError:
        pass
    else:
        assert found is not None
        assert found.tzinfo is dt.UTC


@patient
@given(st.text(min_size=1, max_size=40))
def test_an_error_never_repeats_what_it_found(text) -> None:
    secret = f"canary{text}"
    with pytest.raises(ValidationError) as refused:
        Email.model_validate(PLAIN | {"to": secret, "unknown": secret})
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"to": []},
        {"to": None},
        {"subject": None},
        {"text": None},
        {"template_id": "welcome"},
        {"template_version": 1},
        {"cc": ["B@example.com"]},
        {"to": [f"u{n}@example.com" for n in range(101)]},
        {"scheduled_at": "2030-01-01T10:00:00"},
        {"scheduled_at": "2030-01-02T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"},
        {"from": "nobody"},
        {"from": {"email": "a@example.org", "name": "two\nlines"}},
        {"tags": ["x"] * 21},
        {"metadata": {"x": "y" * 70_000}},
    ],
)
def test_what_makes_no_sense_is_refused(fields) -> None:
    with pytest.raises(ValidationError):
        Email.model_validate(PLAIN | fields)


def test_a_bare_address_and_one_with_a_name_are_read_alike() -> None:
    order = Email.model_validate(PLAIN | {"to": ["x@EXAMPLE.com", {"email": "y@example.com"}]})
    assert [party.email for party in order.to] == ["x@example.com", "y@example.com"]


def test_variables_have_two_names() -> None:
    order = Email.model_validate(PLAIN | {"variables": {"a": 1}, "personalizations": {"b": 2}})
    assert order.values() == {"a": 1, "b": 2}
