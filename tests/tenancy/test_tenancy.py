"""Apps, queues, servers and accounts: made whole, audited, refused with a sentence."""

import dataclasses
from uuid import UUID

import pytest

from app.db.session import Session, tenant_transaction
from app.errors import Conflict, NotFound, SealBroken
from app.secretbox import SecretBox
from app.smtp.connection import Security
from app.tenancy import apps, companies, email_accounts, queues, smtp_configs
from app.tenancy.email_accounts import Limits
from tests import factories
from tests.factories import AUTHOR, BOX

CANARY = "canary-5up3r-s3cret"
LOGIN = {"username": "mailer", "password": CANARY, "security": Security.STARTTLS}


@pytest.fixture
def app(session: Session) -> apps.App:
    return factories.make_app(session, "shop")


def audited(session: Session, app_id: UUID) -> list[str]:
    query = "SELECT action FROM audit_logs WHERE app_id = %s ORDER BY id"
    return [action for (action,) in session.execute(query, (app_id,))]


def test_an_app_is_born_with_a_default_queue_and_audited(session: Session, app: apps.App):
    assert [queue.name for queue in queues.list_all(session, app.id)] == ["default"]
    assert sorted(audited(session, app.id)) == ["app.created", "queue.created"]


def test_apps_are_found_by_id_and_by_name(session: Session, app: apps.App):
    other = factories.make_app(session, "forum")
    assert apps.get(session, app.id) == apps.get_by_name(session, "shop") == app
    assert apps.list_all(session) == [other, app]


def test_a_second_app_of_a_name_is_a_conflict_and_leaves_nothing(session: Session, app: apps.App):
    with pytest.raises(Conflict, match="'shop' exists already"):
        apps.create(session, " shop ", AUTHOR)
    assert apps.list_all(session) == [app]
    assert session.execute("SELECT count(*) FROM audit_logs").fetchone() == (2,)


@pytest.mark.usefixtures("app")
def test_a_wrong_name_suggests_the_nearest(session: Session):
    with pytest.raises(NotFound, match="Did you mean 'shop'"):
        apps.get_by_name(session, "shp")


@pytest.mark.usefixtures("app")
def test_a_wrong_name_without_neighbours_lists_what_there_is(session: Session):
    with pytest.raises(NotFound, match="There are: shop"):
        apps.get_by_name(session, "zzz")


def test_companies_are_kept_by_app(session: Session, app: apps.App):
    made = companies.create(session, app.id, "Acme", AUTHOR)
    other = factories.make_app(session)
    assert companies.get_by_name(session, app.id, "Acme") == made
    assert companies.list_all(session, other.id) == []
    with pytest.raises(Conflict):
        companies.create(session, app.id, "Acme", AUTHOR)
    with pytest.raises(NotFound, match="Did you mean 'Acme'"):
        companies.get_by_name(session, app.id, "acme")


def test_a_queue_is_read_back_as_it_was_made(session: Session, app: apps.App):
    made = factories.make_queue(
        session,
        app.id,
        name="bulk",
        priority=2,
        per_minute=600,
        retry_delays_s=(60, 300),
        on_unknown=queues.OnUnknown.RESEND,
    )
    assert queues.get_by_name(session, app.id, "bulk") == made


def test_a_password_is_sealed_in_the_row_and_opens_again(session: Session, app: apps.App):
    made = factories.make_smtp_config(session, app.id, name="main", **LOGIN)
    ((sealed,),) = session.execute("SELECT password_sealed FROM smtp_configs").fetchall()
    assert sealed.startswith("v1.test.")
    assert smtp_configs.get(session, BOX, app.id, made.id) == made
    assert smtp_configs.get_by_name(session, BOX, app.id, "main").password == CANARY


def test_a_password_stands_nowhere_in_clear(session: Session, app: apps.App):
    made = factories.make_smtp_config(session, app.id, **LOGIN)
    rows = session.execute("SELECT to_jsonb(s)::text FROM smtp_configs s").fetchall()
    log = session.execute("SELECT to_jsonb(a)::text FROM audit_logs a").fetchall()
    assert CANARY not in f"{rows} {log} {made!r}"


def test_a_password_moved_to_another_server_does_not_open(session: Session, app: apps.App):
    factories.make_smtp_config(session, app.id, **LOGIN)
    thief = factories.make_smtp_config(session, app.id, **LOGIN)
    session.execute(
        "UPDATE smtp_configs SET password_sealed = (SELECT min(password_sealed) FROM smtp_configs "
        "WHERE id <> %(id)s) WHERE id = %(id)s",
        {"id": thief.id},
    )
    with pytest.raises(SealBroken):
        smtp_configs.get(session, BOX, app.id, thief.id)


def test_a_lost_key_is_a_broken_seal(session: Session, app: apps.App):
    made = factories.make_smtp_config(session, app.id, **LOGIN)
    with pytest.raises(SealBroken, match="not in MAILQUEUE_SEALING_KEYS"):
        smtp_configs.get(session, SecretBox({"x": b"x" * 32}, "x"), app.id, made.id)


def test_an_account_is_read_back_as_it_was_made(session: Session, app: apps.App):
    made = factories.make_account(
        session, app.id, address=" Ana@EXAMPLE.org", hourly_limit=50, min_gap_ms=5_000
    )
    assert made.address == "Ana@example.org"
    assert email_accounts.get(session, app.id, made.id) == made
    assert email_accounts.get_by_address(session, app.id, "Ana@example.org") == made


def test_two_accounts_of_an_address_are_a_conflict(session: Session, app: apps.App):
    factories.make_account(session, app.id, address="a@example.org")
    with pytest.raises(Conflict, match=r"'a@example.org' exists already"):
        factories.make_account(session, app.id, address="a@example.org")


def test_an_account_of_another_app_is_not_there(session: Session, app: apps.App):
    made = factories.make_account(session, app.id)
    with pytest.raises(NotFound):
        email_accounts.get(session, factories.make_app(session).id, made.id)


def test_an_account_cannot_use_another_apps_server(session: Session, app: apps.App):
    foreign = factories.make_smtp_config(session, factories.make_app(session).id)
    with pytest.raises(NotFound) as refused:
        factories.make_account(session, app.id, smtp_config_id=foreign.id)
    assert refused.value.field == "smtp_config_id"


def test_limits_change_and_the_audit_shows_both(session: Session, app: apps.App):
    account = factories.make_account(session, app.id, hourly_limit=10)
    limits = Limits(hourly_limit=1, min_gap_ms=5_000)
    changed = email_accounts.update_limits(session, account, limits, AUTHOR)
    assert changed == dataclasses.replace(account, hourly_limit=1, min_gap_ms=5_000)
    query = "SELECT before, after FROM audit_logs WHERE action = 'email_account.updated'"
    assert session.execute(query).fetchall() == [
        (
            {"hourly_limit": 10, "min_gap_ms": 0},
            {"hourly_limit": 1, "min_gap_ms": 5_000},
        )
    ]


def test_the_rooms_work_for_the_apis_role(session: Session, app: apps.App):
    with tenant_transaction(session, app.id):
        made = factories.make_account(session, app.id)
        factories.make_queue(session, app.id)
    assert email_accounts.list_all(session, app.id) == [made]
