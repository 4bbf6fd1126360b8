"""Changing and deleting what an app consists of: audited with before and after, 409 while in use."""

import dataclasses

import pytest

from app.audit import AuditFilter, list_page
from app.db.session import Session
from app.errors import ConfigurationInvalid, Conflict, InputInvalid, NotFound
from app.smtp.connection import Security
from app.tenancy import apps, companies, email_accounts, queues, smtp_configs
from tests import factories
from tests.factories import AUTHOR, BOX

CANARY = "canary-5up3r-s3cret"


@pytest.fixture
def app(session: Session) -> apps.App:
    return factories.make_app(session, "shop")


def last_change(session: Session, app: apps.App, kind: str):
    (found,) = list_page(session, app.id, AuditFilter(target_kind=kind), after=None, limit=1)
    return found


def test_a_changed_queue_is_audited_with_what_changed(session, app):
    queue = factories.make_queue(session, app.id, priority=3)
    changed = dataclasses.replace(queue, priority=9, retry_delays_s=(5, 10))
    assert queues.update(session, changed, AUTHOR) == changed
    entry = last_change(session, app, "queue")
    assert entry.action == "queue.updated"
    assert entry.before == {"priority": 3, "retry_delays_s": [30, 120, 600, 3600]}
    assert entry.after == {"priority": 9, "retry_delays_s": [5, 10]}


def test_what_does_not_change_is_not_audited(session, app):
    queue = factories.make_queue(session, app.id)
    queues.update(session, queue, AUTHOR)
    assert last_change(session, app, "queue").action == "queue.created"


def test_a_queue_is_paused_drained_and_resumed(session, app):
    queue = factories.make_queue(session, app.id)
    for status in ("paused", "draining", "active"):
        queue = queues.update(session, dataclasses.replace(queue, status=status), AUTHOR)
        assert queue.status == status


def test_an_unused_queue_is_deleted(session, app):
    queue = factories.make_queue(session, app.id)
    queues.delete(session, queue, AUTHOR)
    with pytest.raises(NotFound):
        queues.get(session, app.id, queue.id)
    assert last_change(session, app, "queue").action == "queue.deleted"


def test_a_queue_of_a_campaign_stays(session, app):
    queue = factories.make_queue(session, app.id)
    factories.make_campaign(session, app.id, queue_id=queue.id)
    with pytest.raises(Conflict, match="in use"):
        queues.delete(session, queue, AUTHOR)


def test_a_queue_and_an_account_that_carried_mail_stay(session, app):
    queue = factories.make_queue(session, app.id)
    account = factories.make_account(session, app.id)
    delta = {"app_id": app.id, "queue_id": queue.id, "account_id": account.id, "kind": "sent"}
    factories.insert(session, "email_stat_deltas", delta | {"n": 1})
    with pytest.raises(Conflict, match="carried mail"):
        queues.delete(session, queue, AUTHOR)
    with pytest.raises(Conflict, match="carried mail"):
        email_accounts.delete(session, account, AUTHOR)


def test_pages_of_every_room_go_from_new_to_old(session, app):
    made = [factories.make_account(session, app.id) for _ in range(3)]
    for room in (email_accounts, queues, companies):
        rows = room.list_page(session, app.id, limit=50)
        assert [row.id for row in rows] == sorted((row.id for row in rows), reverse=True)
    first = email_accounts.list_page(session, app.id, limit=2)
    rest = email_accounts.list_page(session, app.id, after=first[-1].id, limit=2)
    assert {row.id for row in first + rest} == {row.id for row in made}
    assert len(smtp_configs.list_page(session, BOX, app.id)) == 3
    assert [row.id for row in apps.list_page(session)] == [app.id]


def test_a_changed_server_keeps_its_password_and_shows_none(session, app):
    login = {"username": "ana", "password": CANARY, "security": Security.STARTTLS}
    server = factories.make_smtp_config(session, app.id, **login)
    smtp_configs.update(session, BOX, dataclasses.replace(server, port=2525), AUTHOR)
    found = smtp_configs.get(session, BOX, app.id, server.id)
    assert (found.port, found.password) == (2525, CANARY)
    smtp_configs.update(session, BOX, dataclasses.replace(found, password="another"), AUTHOR)
    rows = session.execute("SELECT a::text FROM audit_logs a").fetchall()
    assert CANARY not in str(rows)
    assert "another" not in str(rows)
    assert last_change(session, app, "smtp_config").after == {"password": "***"}


def test_a_server_of_an_account_stays(session, app):
    account = factories.make_account(session, app.id)
    server = smtp_configs.get(session, BOX, app.id, account.smtp_config_id)
    with pytest.raises(Conflict, match="in use"):
        smtp_configs.delete(session, server, AUTHOR)
    email_accounts.delete(session, account, AUTHOR)
    smtp_configs.delete(session, server, AUTHOR)


def test_an_account_is_paused_limited_and_moved(session, app):
    account = factories.make_account(session, app.id)
    other = factories.make_smtp_config(session, app.id)
    changed = dataclasses.replace(account, status="paused", hourly_limit=5, smtp_config_id=other.id)
    assert email_accounts.update(session, changed, AUTHOR) == changed


def test_an_account_is_not_moved_to_another_apps_server(session, app):
    account = factories.make_account(session, app.id)
    other = factories.make_smtp_config(session, factories.make_app(session).id)
    with pytest.raises(NotFound):
        email_accounts.update(
            session, dataclasses.replace(account, smtp_config_id=other.id), AUTHOR
        )


def test_a_company_with_members_stays(session, app):
    company = companies.create(session, app.id, "Acme", AUTHOR)
    renamed = companies.rename(session, company, "Acme Ltd", AUTHOR)
    assert renamed.name == "Acme Ltd"
    account = factories.make_account(session, app.id, company_id=company.id)
    with pytest.raises(Conflict, match=account.address):
        companies.delete(session, company, AUTHOR)
    email_accounts.delete(session, account, AUTHOR)
    companies.delete(session, company, AUTHOR)
    assert companies.list_all(session, app.id) == []


def test_an_app_is_changed_and_suspended(session, app):
    changed = dataclasses.replace(
        app, status="suspended", daily_quota=7, settings={"attachments_most": 3}
    )
    assert apps.update(session, changed, AUTHOR) == changed
    assert last_change(session, app, "app").after["daily_quota"] == 7


@pytest.mark.parametrize(
    ("change", "field"),
    [({"status": "gone"}, "status"), ({"daily_quota": 0}, "daily_quota"), ({"name": ""}, "name")],
)
def test_an_app_that_makes_no_sense_names_its_field(session, app, change, field):
    with pytest.raises(InputInvalid) as refused:
        apps.update(session, dataclasses.replace(app, **change), AUTHOR)
    assert refused.value.field == field


def test_an_app_with_mail_stays_and_an_empty_one_goes(session, app):
    empty = factories.make_app(session)
    factories.make_account(session, empty.id)
    apps.delete(session, empty, AUTHOR)
    factories.make_email(session, app.id)
    with pytest.raises(Conflict, match="Suspend it"):
        apps.delete(session, app, AUTHOR)
    assert [each.id for each in apps.list_all(session)] == [app.id]


@pytest.mark.parametrize(
    ("url", "security", "port"),
    [
        ("smtp://127.0.0.1:1025", Security.NONE, 1025),
        ("smtps://u%40x:p%3A@mail.example.com", Security.TLS, 465),
        ("smtp+starttls://u:p@mail.example.com", Security.STARTTLS, 587),
    ],
)
def test_a_server_is_read_from_a_url(app, url, security, port):
    found = smtp_configs.parsed(url, app.id, "default")
    assert (found.security, found.port) == (security, port)
    if "%40" in url:
        assert (found.username, found.password) == ("u@x", "p:")


@pytest.mark.parametrize("url", ["http://x", "smtp://x:99999", "nonsense", "smtp://[::1"])
def test_a_url_that_is_no_server_is_a_wrong_setting(app, url):
    with pytest.raises(ConfigurationInvalid, match="DEFAULT_SMTP_URL"):
        smtp_configs.parsed(url, app.id, "default")
