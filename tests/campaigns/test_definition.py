import datetime as dt

import pytest

from app.campaigns.definition import read
from app.errors import InputInvalid

GOOD = """\
name: Welcome
accounts: [a@example.org, B@Example.ORG]
timezone: Europe/Berlin
scheduled_at: 2026-03-01 09:00
window:
  days: [mon, Tuesday, 3]
  start: 9:00
  end: 17:00
audience:
  where: {plan: 5, user.city: Ulm}
steps:
  - template: hello
  - wait_duration_hours: 48
    variants:
      - {template: a, weight: 3}
      - template: b
"""


def test_a_definition_is_read_whole():
    made = read(GOOD)
    assert made.accounts == ("a@example.org", "B@example.org")
    assert made.window.days == {1, 2, 3}
    assert (made.window.start, made.window.end) == (dt.time(9), dt.time(17))
    assert [len(step.contents()) for step in made.steps] == [1, 2]
    assert (made.priority, made.queue, made.use_lead_timezone) == (5, "default", True)
    assert made.audience_variables() == {"plan": "5", "user": {"city": "Ulm"}}


def test_a_start_without_an_offset_is_local_time():
    assert read(GOOD).starts_at() == dt.datetime(2026, 3, 1, 8, tzinfo=dt.UTC)
    moved = GOOD.replace("2026-03-01 09:00", "2026-03-01T09:00+05:00")
    assert read(moved).starts_at() == dt.datetime(2026, 3, 1, 4, tzinfo=dt.UTC)


def test_audience_all_is_everybody():
    text = GOOD.replace("audience:\n  where: {plan: 5, user.city: Ulm}", "audience: all")
    assert read(text).audience_variables() == {}


@pytest.mark.parametrize(
    ("right", "wrong", "line", "field", "says"),
    [
        ("Europe/Berlin", "Europe/Berln", 3, "timezone", "Did you mean Europe/Berlin"),
        ("a@example.org", "nobody", 2, "accounts.0", "not an e-mail address"),
        ("weight: 3", "weight: 0", 15, "steps.1.variants.0.weight", "greater than or equal to 1"),
        ("48", "-1", 13, "steps.1.wait_duration_hours", "greater than or equal to 0"),
        ("hello", "hello\n    subject: x", 13, "steps.0.subject", "no such field"),
        ("mon,", "noday,", 6, "window.days.0", "mon to sun"),
        ("  end: 17:00\n", "", 5, "window", "a start and a different end"),
        ("9:00\n  end", "9:00Z\n  end", 5, "window", "leave out the timezone"),
        ("2026-03-01", "tomorrow", 4, "scheduled_at", "valid datetime"),
        ("- template: hello", "- version: 2", 12, "steps.0", "either `template` or `variants`"),
        ("where:", "wer:", 10, "audience.wer", "no such field"),
        ("accounts: [a@example.org, B@Example.ORG]\n", "", 1, "accounts", "Field required"),
    ],
)
def test_an_error_names_file_line_and_field(right, wrong, line, field, says):
    with pytest.raises(InputInvalid, match=says) as caught:
        read(GOOD.replace(right, wrong, 1), "spring.yaml")
    assert caught.value.field == field
    assert str(caught.value).startswith(f"spring.yaml, line {line}: {field} ")


def test_broken_yaml_names_its_line():
    with pytest.raises(InputInvalid, match="line 3"):
        read(GOOD.replace("[a@example.org,", "[[a@example.org"))


@pytest.mark.parametrize("text", ["", "just words", "- a\n- b", "\x00", "a: &x 1\nb: *x"])
def test_what_is_no_definition_is_refused(text):
    with pytest.raises(InputInvalid):
        read(text)
