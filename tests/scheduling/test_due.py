"""What goes next: priority first, fair over apps, no more than an account's room."""

import datetime as dt
from collections import Counter
from uuid import UUID

from app.clock import utc_now
from app.db.session import Session, connect
from app.lifecycle import transitions
from app.scheduling import due
from tests.factories import make_account, make_app, make_email, make_template_version


def test_higher_priority_goes_first_over_all_apps(session: Session) -> None:
    for _ in range(2):
        app_id, fields = _app(session)
        for priority in (1, 10, 5):
            make_email(session, app_id, priority=priority, **fields)
    with session.transaction():
        picks = _pick(session, 10)
    assert [pick.priority for pick in picks] == [10, 10, 5, 5, 1, 1]


def test_a_small_app_does_not_wait_behind_a_large_one(session: Session) -> None:
    large, fields = _app(session)
    for _ in range(60):
        make_email(session, large, **fields, due_at=utc_now() - dt.timedelta(hours=1))
    small, fields = _app(session)
    for _ in range(5):
        make_email(session, small, **fields)
    with session.transaction():
        first_ten = Counter(pick.app_id for pick in _pick(session, 10))
    assert first_ten == {large: 5, small: 5}


def test_an_account_gets_no_more_than_its_room(session: Session) -> None:
    app_id, fields = _app(session)
    for _ in range(10):
        make_email(session, app_id, **fields)
    accounts = due.accounts(session)
    with session.transaction():
        picks = due.pick(session, accounts, {fields["account_id"]: 3}, 10)
    assert len(picks) == 3


def test_room_goes_to_the_higher_priority(session: Session) -> None:
    app_id, fields = _app(session)
    for priority in (3, 9, 3, 9):
        make_email(session, app_id, priority=priority, **fields)
    with session.transaction():
        picks = due.pick(session, due.accounts(session), {fields["account_id"]: 2}, 10)
    assert [pick.priority for pick in picks] == [9, 9]


def test_what_is_not_due_is_not_seen(session: Session) -> None:
    app_id, fields = _app(session)
    make_email(session, app_id, **fields, due_at=utc_now() + dt.timedelta(minutes=1))
    assert due.accounts(session) == []


def test_paused_accounts_and_suspended_apps_are_left_out(session: Session) -> None:
    paused, fields = _app(session)
    make_email(session, paused, **fields)
    session.execute("UPDATE email_accounts SET status = 'paused'")
    suspended, fields = _app(session)
    make_email(session, suspended, **fields)
    session.execute("UPDATE apps SET status = 'suspended' WHERE id = %s", (suspended,))
    assert due.accounts(session) == []


def test_two_passes_at_once_pick_different_mails(session: Session, database: str) -> None:
    app_id, fields = _app(session)
    ids = {make_email(session, app_id, **fields) for _ in range(20)}
    with connect(database) as other, session.transaction(), other.transaction():
        mine = {pick.email_id for pick in _pick(session, 12)}
        theirs = {pick.email_id for pick in _pick(other, 12)}
        released = (
            transitions.release(session, list(mine)),
            transitions.release(other, list(theirs)),
        )
    assert not mine & theirs
    assert mine | theirs == ids
    assert released == (mine, theirs)


def test_accounts_are_found_with_all_their_priorities(session: Session) -> None:
    expected = {}
    for _ in range(3):
        app_id, fields = _app(session)
        for priority in (2, 7, 7, 4):
            make_email(session, app_id, priority=priority, **fields)
        expected[fields["account_id"]] = (7, 4, 2)
    found = {account.account_id: account.priorities for account in due.accounts(session)}
    assert found == expected


def _app(session: Session) -> tuple[UUID, dict[str, UUID]]:
    app_id = make_app(session).id
    account = make_account(session, app_id)
    version = make_template_version(session, app_id)
    return app_id, {"account_id": account.id, "template_version_id": version}


def _pick(session: Session, limit: int) -> list[due.Pick]:
    accounts = due.accounts(session)
    return due.pick(session, accounts, {a.account_id: 1_000 for a in accounts}, limit)
