import dataclasses
import datetime as dt
from concurrent.futures import Future

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from app.assembly.contents import Content
from app.campaigns import campaigns, templates
from app.campaigns.definition import read
from app.clock import monotonic_s, utc_now
from app.db.session import tenant_transaction
from tests import stack
from tests.factories import AUTHOR, make_account, make_app, make_lead


@pytest.fixture(scope="module")
def database(database_url, maintenance, template_database):
    """One database for a module: each test here has an app of its own."""
    with stack.cloned(database_url, maintenance, template_database) as url:
        yield url


@dataclasses.dataclass
class House:
    """An app with two senders, templates `one`, `two`, `three`, and what tests do with them."""

    session: object
    app_id: object
    accounts: list
    now: dt.datetime

    def leads(self, count, **fields):
        return [make_lead(self.session, self.app_id, **fields) for _ in range(count)]

    def create(self, name="Spring", steps="[{template: one}]", more=""):
        senders = ", ".join(account.address for account in self.accounts)
        text = f"name: {name}\naccounts: [{senders}]\nsteps: {steps}\n{more}"
        return campaigns.create(self.session, self.app_id, read(text), AUTHOR)

    def start(self, name="Spring", **fields):
        made = self.create(name, **fields)
        return campaigns.start(self.session, self.app_id, made.name, AUTHOR, self.now)

    def do(self, action, name="Spring", now=None):
        return action(self.session, self.app_id, name, AUTHOR, now or self.now)

    def rows(self, statement, *binds):
        """What this app's API sees: rows of other tests are hidden by row-level security."""
        with tenant_transaction(self.session, self.app_id):
            return self.session.execute(statement, binds).fetchall()

    def value(self, statement, *binds):
        return self.rows(statement, *binds)[0][0]

    def mails(self):
        """Every mail, in the order of its plan: its columns as attributes."""
        statement = (
            "SELECT e.*, s.position FROM emails e JOIN campaign_sequence_steps s ON s.id = e.step_id "
            "WHERE e.app_id = %s ORDER BY s.position, e.to_email"
        )
        cursor = self.session.cursor(row_factory=namedtuple_row)
        return cursor.execute(statement, (self.app_id,)).fetchall()

    def settle(self, status, sent_at=None):
        """Give every waiting mail this state, as the send stage does."""
        self.session.execute(
            "UPDATE emails SET status = %s, due_at = NULL, sent_at = %s "
            "WHERE status IN ('scheduled', 'queued')",
            (status, sent_at),
        )


@pytest.fixture
def house(session):
    """A new app in the module's database, where nothing of earlier tests runs any more."""
    session.execute("UPDATE campaigns SET status = 'finished'")
    app_id = make_app(session).id
    for name in ("one", "two", "three"):
        content = Content(subject=f"{name} {{{{firstName}}}}", html=f"<p>{name}</p>")
        templates.save(session, app_id, name, content, AUTHOR)
    accounts = [make_account(session, app_id) for _ in range(2)]
    return House(session=session, app_id=app_id, accounts=accounts, now=utc_now())


WAITING = """
SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"""


def wait_for_lock(database: str, asked: Future[object]) -> None:
    """Wait until a session of the database waits for another one's row; `asked` may not end before."""
    ends_s = monotonic_s() + 60
    with psycopg.connect(database, autocommit=True) as looking:
        while not looking.execute(WAITING).fetchall():
            assert not asked.done(), asked.result()
            assert monotonic_s() < ends_s, "it waits for nobody"
