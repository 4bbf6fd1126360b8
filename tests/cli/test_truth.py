"""explain, forecast, send-rest and epoch on the command line."""

import pytest

from app.campaigns import sequence
from app.clock import utc_now
from app.policy.rate_limits import RateLimiter
from app.tenancy import apps
from tests import factories
from tests.factories import make_account, make_lead, make_step, make_template_version


@pytest.fixture
def letter(shop, session):
    """A draft campaign "Letter" for two leads through a limited account."""
    app = apps.get_by_name(session, shop)
    account = make_account(session, app.id, hourly_limit=1)
    campaign_id = factories.make_campaign(
        session, app.id, account_id=account.id, name="Letter", status="draft"
    )
    make_step(session, campaign_id, template_version_id=make_template_version(session, app.id))
    for name in ("ana", "ben"):
        make_lead(session, app.id, f"{name}@example.com")
    return campaign_id


@pytest.mark.usefixtures("letter")
def test_a_mail_is_explained_by_recipient_and_by_id(mailqueue, session):
    assert mailqueue("campaign", "start", "Letter").code == 0
    sequence.plan_due(session, utc_now(), 10)
    (told,) = mailqueue("explain", "--to", "Ana@example.com", "--campaign", "Letter", "--json").json
    assert (told["state"], told["campaign"]) == ("scheduled", "Letter")
    assert {gate["name"]: gate["verdict"] for gate in told["gates"]}["limits"] == "pass"
    (again,) = mailqueue("explain", told["id"], "--json").json
    assert again["id"] == told["id"]
    shown = mailqueue("explain", told["id"])
    assert "Scheduled; every gate is open." in shown.out
    assert "1 an hour and account" in shown.out
    assert "ana@example.com" not in shown.out


@pytest.mark.usefixtures("letter")
def test_the_limit_is_asked_live(mailqueue, session, configured):
    mailqueue("campaign", "start", "Letter")
    sequence.plan_due(session, utc_now(), 10)
    ((account,),) = session.execute("SELECT id FROM email_accounts").fetchall()
    limiter = RateLimiter(configured.redis_url)
    limiter.seed(account, {utc_now().replace(second=0, microsecond=0): 1})
    limiter.close()
    (told,) = mailqueue("explain", "--to", "ben@example.com", "--campaign", "Letter", "--json").json
    (gate,) = [gate for gate in told["gates"] if gate["name"] == "limits"]
    assert gate["verdict"] == "wait"
    assert told["next_at"] == gate["next_at"]


def test_who_has_no_mail_and_what_is_asked_badly_is_refused(mailqueue, letter):
    del letter
    lost = mailqueue("explain", "--to", "eve@example.com", "--campaign", "Letter", "--json")
    assert (lost.code, lost.problem["code"]) == (1, "not_found")
    assert mailqueue("explain").code == 1


def test_a_draft_is_forecast_and_its_start_remembered(mailqueue, letter):
    del letter
    first = mailqueue("forecast", "Letter", "--json").json
    assert (first["mails"], first["ends_at_as_of_start"]) == (2, None)
    assert [one["limit"] for one in first["limits"]] == ["account_hour"]
    mailqueue("campaign", "start", "Letter")
    shown = mailqueue("forecast", "Letter")
    assert "hourly limits of the accounts" in shown.out
    assert mailqueue("forecast", "Letter", "--json").json["ends_at_as_of_start"]


def test_the_rest_is_sent_once(mailqueue, letter, session):
    mailqueue("campaign", "start", "Letter")
    assert mailqueue("campaign", "send-rest", "Letter").code == 1
    sequence.plan_due(session, utc_now(), 10)
    session.execute("UPDATE emails SET status = 'failed', due_at = NULL")
    session.execute("UPDATE campaigns SET status = 'finished' WHERE id = %s", (letter,))
    done = mailqueue("campaign", "send-rest", "Letter", "--json").json
    assert (done["people"], done["again"], done["status"]) == (2, 2, "running")
    assert mailqueue("campaign", "send-rest", "Letter").code == 1
    assert mailqueue("ledger").code == 0


def test_an_operator_sees_and_ends_a_quarantine(mailqueue, shop, session):
    del shop
    assert mailqueue("epoch", "show", "--json").json["sending"] == "open"
    assert mailqueue("epoch", "confirm", "--note", "for nothing").code == 1
    session.execute("UPDATE send_epoch SET home = 'elsewhere'")
    told = mailqueue("epoch", "show", "--json").json
    assert told["sending"] == "quarantined"
    assert "cloned" in told["reason"]
    assert "mailqueue epoch confirm" in mailqueue("epoch", "show").out
    assert mailqueue("epoch", "confirm", "--note", "moved house").code == 0
    assert mailqueue("epoch", "show", "--json").json["sending"] == "open"
