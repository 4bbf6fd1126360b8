"""Partitions are made ahead, once, with the bounds of the program's own ids."""

import concurrent.futures
import contextlib
import datetime as dt

import psycopg
import pytest

from app.clock import utc_now
from app.db.partitions import create_ahead, is_partition
from app.db.session import Session, connect
from app.ids import lower_bound, new_ids
from tests import factories

FAR = dt.datetime(2041, 1, 31, 23, 59, tzinfo=dt.UTC)

BOUNDS = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = %s"
OPTIONS = "SELECT reloptions FROM pg_class WHERE relname = %s"


def test_partitions_reach_from_last_month_to_the_months_ahead(session: Session):
    made = create_ahead(session, FAR, months=2)
    emails = sorted(name for name in made if name.startswith("emails_"))
    assert emails == ["emails_2040_12", "emails_2041_01", "emails_2041_02", "emails_2041_03"]
    assert len(made) == 3 * len(emails)


def test_a_second_call_makes_nothing(session: Session):
    create_ahead(session, FAR)
    assert create_ahead(session, FAR) == []


def test_the_migration_made_the_months_around_now(session: Session):
    assert create_ahead(session, utc_now(), months=3) == []


def test_two_processes_at_once_make_each_partition_once(database: str):
    def run() -> list[str]:
        with contextlib.closing(connect(database)) as session:
            return create_ahead(session, FAR)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        made = [name for names in pool.map(lambda _: run(), range(2)) for name in names]
    assert len(made) == len(set(made)) == 15


def test_partitions_are_made_while_mail_is_being_written(database: str, session: Session):
    app = factories.make_app(session)
    with contextlib.closing(connect(database)) as other, session.transaction():
        factories.make_email(session, app.id)
        other.execute("SET lock_timeout = '2s'")
        assert create_ahead(other, FAR)


@pytest.mark.parametrize("month", [dt.date(2041, 1, 1), dt.date(2041, 2, 1), dt.date(2040, 12, 1)])
def test_a_partition_begins_at_the_first_id_of_its_month(session: Session, month: dt.date):
    create_ahead(session, FAR)
    ((bounds,),) = session.execute(BOUNDS, (f"emails_{month:%Y_%m}",)).fetchall()
    start = dt.datetime(month.year, month.month, 1, tzinfo=dt.UTC)
    following = (start + dt.timedelta(days=32)).replace(day=1)
    first, after = lower_bound(start), lower_bound(following)
    assert bounds == f"FOR VALUES FROM ('{first}') TO ('{after}')"


def test_partitions_of_emails_leave_room_for_hot_updates(session: Session):
    ((options,),) = session.execute(OPTIONS, (f"emails_{utc_now():%Y_%m}",)).fetchall()
    assert {"fillfactor=60", "autovacuum_vacuum_scale_factor=0.02"} <= set(options)


def test_partitions_to_come_have_the_options_of_those_there_are(session: Session):
    create_ahead(session, FAR)
    for parent in ("emails", "email_events", "audit_logs"):
        months = (f"{parent}_2041_01", f"{parent}_{utc_now():%Y_%m}")
        found = [session.execute(OPTIONS, (name,)).fetchall()[0][0] for name in months]
        assert set(found[0]) == set(found[1])


def test_a_mail_of_a_month_without_partition_is_a_clear_error(session: Session):
    app = factories.make_app(session)
    with pytest.raises(psycopg.errors.CheckViolation, match='no partition of relation "emails"'):
        factories.make_email(session, app.id, id=new_ids(1, FAR)[0])


def test_a_mail_is_found_in_one_partition_by_its_id(session: Session):
    plan = session.execute(f"EXPLAIN SELECT FROM emails WHERE id = '{factories.new_id()}'")
    text = "\n".join(line for (line,) in plan)
    assert text.count("emails_") == 2  # the partition and its index


def test_only_the_three_tables_can_be_given_partitions(session: Session):
    with pytest.raises(psycopg.errors.RaiseException, match="has no monthly partitions"):
        session.execute("SELECT mailqueue_create_partition('apps', '2041-01-01')")


def test_partitions_are_known_by_their_name():
    assert is_partition("emails_2041_01")
    assert not is_partition("email_stats")
