"""What cannot work is refused before anything is written, and the field is named."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.db.session import Session
from app.errors import InputInvalid
from app.tenancy import apps
from tests import factories
from tests.factories import AUTHOR


@pytest.fixture
def app(scratch: Session) -> Iterator[apps.App]:
    made = factories.make_app(scratch)
    yield made
    # A refusal left nothing behind but what the app was born with.
    scratch.execute("DELETE FROM apps WHERE id = %s", (made.id,))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", 0),
        ("priority", 11),
        ("micro_batch", 0),
        ("per_minute", 0),
        ("retry_delays_s", ()),
        ("retry_delays_s", (30, 0)),
        ("max_deferral_age_s", 1),
    ],
)
def test_a_queue_out_of_range_is_refused_by_field(
    scratch: Session, app: apps.App, field: str, value: Any
):
    with pytest.raises(InputInvalid) as refused:
        factories.make_queue(scratch, app.id, **{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"host": "smtp://mail.example.com"}, "host"),
        ({"host": "mail.example.com:25"}, "host"),
        ({"host": "mail_example"}, "host"),
        ({"host": "10.0.0"}, "host"),
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"connections": 65}, "connections"),
        ({"username": "mailer"}, "password"),
        ({"password": "x"}, "username"),
        ({"username": "mailer", "password": "x"}, "security"),
    ],
)
def test_a_server_that_cannot_work_is_refused_by_field(
    scratch: Session, app: apps.App, given: dict[str, Any], field: str
):
    with pytest.raises(InputInvalid) as refused:
        factories.make_smtp_config(scratch, app.id, **given)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"address": "nobody"}, "address"),
        ({"address": "a@b@example.org"}, "address"),
        ({"reply_to": "x"}, "reply_to"),
        ({"display_name": "Ana\r\nBcc: evil@example.com"}, "display_name"),
        ({"hourly_limit": 0}, "hourly_limit"),
        ({"daily_limit": -1}, "daily_limit"),
        ({"min_gap_ms": -1}, "min_gap_ms"),
        ({"warmup_daily_start": 10}, "warmup_growth"),
    ],
)
def test_an_account_that_cannot_work_is_refused_by_field(
    scratch: Session, app: apps.App, given: dict[str, Any], field: str
):
    with pytest.raises(InputInvalid) as refused:
        factories.make_account(scratch, app.id, **given)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("SMTP.Example.com.", "smtp.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_has_one_spelling(scratch: Session, app: apps.App, host: str, kept: str):
    assert factories.make_smtp_config(scratch, app.id, host=host).host == kept


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_a_name_that_cannot_be_read_is_refused(scratch: Session, name: str):
    with pytest.raises(InputInvalid, match="cannot be a name"):
        apps.create(scratch, name, AUTHOR)
