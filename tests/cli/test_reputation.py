"""reputation show and release, on the command line."""

import pytest

from app.analytics import standing
from app.clock import utc_now
from app.policy.reputation import Thresholds
from app.tenancy import apps
from tests.factories import count_mails, make_account


@pytest.fixture
def sender(shop, session):
    """An account of the shop, anna@example.com, that is held with the shop."""
    app = apps.get_by_name(session, shop)
    account = make_account(session, app.id, address="anna@example.com")
    count_mails(session, app.id, account.id, sent=900, complained=9)
    standing.judge_app(session, app.id, Thresholds(), utc_now())
    return account


def levels(ran):
    assert ran.code == 0, ran.err
    return {one["sender"]: one["level"] for one in ran.json}


@pytest.mark.usefixtures("shop")
def test_nothing_came_back_yet(mailqueue):
    assert "Nothing came back" in mailqueue("reputation", "show").out


@pytest.mark.usefixtures("sender")
def test_who_is_held_is_shown_with_the_rule_and_released_by_a_person(mailqueue):
    shown = mailqueue("reputation", "show", "--json")
    assert levels(shown) == {"app": "held", "anna@example.com": "held"}
    assert "complaints.hold" in shown.json[1]["reason"]
    assert levels(mailqueue("reputation", "release", "anna@example.com", "--json")) == {
        "anna@example.com": "good"
    }
    assert levels(mailqueue("reputation", "release", "--json")) == {"app": "good"}
    assert "anna@example.com" in mailqueue("reputation", "show").out
    again = mailqueue("reputation", "release", "--json")
    assert (again.code, again.problem["detail"]) == (1, "It stands good.")
