"""An app with mail of a month that is long over, and retention told that it is today."""

import contextlib
import datetime as dt
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from app.audit import Author
from app.config import Settings
from app.db.partitions import PARTITIONED
from app.db.session import Session, connect
from app.ids import new_ids
from app.lifecycle import events
from app.lifecycle.events import TimelineEvent
from app.retention import run
from app.retention.run import Line, Order
from tests import factories, stack
from tests.stock import Stock

OLD = dt.datetime(2025, 3, 10, 12, tzinfo=dt.UTC)
NOW = dt.datetime(2025, 8, 20, 12, tzinfo=dt.UTC)  # March is over for 90 days, a year it is not


@dataclass(frozen=True, kw_only=True)
class House:
    """The database and where its archive goes."""

    session: Session
    folder: Path
    rabbitmq_url: str

    def run(self, now: dt.datetime = NOW) -> list[Line]:
        order = Order(
            author=Author(name="test"),
            folder=self.folder,
            rabbitmq_url=self.rabbitmq_url,
            longest=dt.timedelta(minutes=5),
        )
        return run.run(self.session, now, order)

    def app(self, **days: int) -> UUID:
        app_id = factories.make_app(self.session).id
        settings = {f"retention_{name}_days": number for name, number in days.items()}
        self.session.execute(
            "UPDATE apps SET settings = %s WHERE id = %s", (Jsonb(settings), app_id)
        )
        return app_id

    def mail(self, app_id: UUID, at: dt.datetime = OLD, **fields: Any) -> UUID:
        """A mail of that time, sent unless `fields` say otherwise, with two events."""
        given = {"status": "sent", "id": UUID(new_ids(1, at)[0])} | fields
        email_id = factories.make_email(self.session, app_id, **given)
        self.tell(app_id, email_id, at, text="250 <ann@example.com> taken", code=250)
        self.tell(app_id, email_id, at, verdict="human")
        return email_id

    def tell(self, app_id: UUID, email_id: UUID, at: dt.datetime, **data: Any) -> None:
        said = TimelineEvent(
            email_id=email_id,
            event_id=UUID(new_ids(1, at)[0]),
            app_id=app_id,
            type="attempt",
            data=data,
            at=at,
        )
        events.append(self.session, [said])

    def count(self, table: str, where: str = "true") -> int:
        row = self.session.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()
        return row[0] if row else 0

    def has_table(self, name: str) -> bool:
        row = self.session.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone()
        return bool(row and row[0])


@pytest.fixture(scope="session")
def databases(
    database_url: str, maintenance: psycopg.Connection, template_database: str
) -> Iterator[Stock]:
    """Migrated databases that have the months these tests write into."""
    with stack.cloned(database_url, maintenance, template_database) as url:
        with contextlib.closing(connect(url)) as session:
            for month, parent in itertools.product((3, 6, 7, 8), PARTITIONED):
                session.execute(
                    "SELECT mailqueue_create_partition(%s, %s)", (parent, dt.date(2025, month, 1))
                )
        clone = functools.partial(stack.cloned, database_url, maintenance, stack.name_of(url))
        with contextlib.closing(Stock(clone)) as made:
            yield made


@pytest.fixture
def house(session: Session, settings: Settings, tmp_path: Path, rabbitmq_url: str) -> House:
    del settings
    return House(session=session, folder=tmp_path / "archive", rabbitmq_url=rabbitmq_url)
