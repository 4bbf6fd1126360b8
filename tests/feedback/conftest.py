"""A lead in the middle of a sequence: one mail sent, the next one scheduled; and what comes back."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from app import config
from app.config import Settings
from app.db.session import Session
from app.feedback import messages
from app.feedback.messages import Arrival
from app.mail import verp
from app.mail.verp import AddressUse, CodedAddress, CodedDomain
from app.smtp.dial import tls_context
from infra.local.ports import LOOPBACK
from tests.campaign_rows import campaign
from tests.factories import insert, make_email, make_lead
from tests.peers.dovecot import Dovecot, dovecot
from tests.smtp.peers import Certificates

DOMAIN = "in.example"
TO = "ana@example.com"


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch, configured: Settings) -> Iterator[Settings]:
    """The process's settings with an inbound domain, on any port."""
    del configured
    monkeypatch.setenv("MAILQUEUE_INBOUND_DOMAIN", DOMAIN)
    monkeypatch.setenv("MAILQUEUE_INBOUND_PORT", "0")
    config.settings.cache_clear()
    yield config.settings()
    config.settings.cache_clear()


@pytest.fixture
def coded(listening: Settings) -> CodedDomain:
    found = verp.coded_domain(DOMAIN, listening.tracking_keys.get_secret_value())
    assert found is not None
    return found


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """What the lead has got, what waits, and how to look at it."""

    session: Session
    app_id: UUID
    account_id: UUID
    first: UUID
    second: UUID
    enrolment: UUID
    to: str

    def value(self, statement: str, *binds: Any) -> Any:
        row = self.session.execute(statement, binds).fetchone()
        return None if row is None else row[0]

    def status(self, email_id: UUID) -> str:
        return str(self.value("SELECT status FROM emails WHERE id = %s", email_id))

    @property
    def enrolment_status(self) -> str:
        return str(self.value("SELECT status FROM enrolments WHERE id = %s", self.enrolment))

    @property
    def suppressed_for(self) -> str | None:
        found: str | None = self.value(
            "SELECT reason FROM suppression_list WHERE app_id = %s", self.app_id
        )
        return found

    def events(self, email_id: UUID) -> list[str]:
        rows = self.session.execute(
            "SELECT type FROM email_events WHERE email_id = %s ORDER BY type", (email_id,)
        )
        return [row[0] for row in rows.fetchall()]

    def counted(self, kind: str) -> int:
        return int(
            self.value("SELECT coalesce(sum(n), 0) FROM email_stat_deltas WHERE kind = %s", kind)
        )


@pytest.fixture
def sequence(session: Session) -> Callable[..., Sequence]:
    def make(to: str = TO, status: str = "sent") -> Sequence:
        made = campaign(session, steps=2)
        lead_id, enrolment = make_lead(session, made.app_id, to), uuid.uuid4()
        same = {
            "to_email": to,
            "account_id": made.account_id,
            "queue_id": made.queue_id,
            "template_version_id": made.version_id,
            "campaign_id": made.campaign_id,
            "lead_id": lead_id,
            "enrolment_id": enrolment,
        }
        first = make_email(session, made.app_id, step_id=made.step_ids[0], status=status, **same)
        second = make_email(session, made.app_id, step_id=made.step_ids[1], **same)
        row = {
            "id": enrolment,
            "app_id": made.app_id,
            "campaign_id": made.campaign_id,
            "lead_id": lead_id,
            "account_id": made.account_id,
            "steps_planned": 2,
            "last_email_id": second,
        }
        insert(session, "enrolments", row)
        return Sequence(
            session=session,
            app_id=made.app_id,
            account_id=made.account_id,
            first=first,
            second=second,
            enrolment=enrolment,
            to=to,
        )

    return make


@pytest.fixture(scope="session")
def mailserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    """A Dovecot for all tests; a test's users are its own."""
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    with dovecot(certificates.file(LOOPBACK), certificates.ca_file) as found:
        yield found


@pytest.fixture
def trusting(mailserver: Dovecot, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets this process trust the mail server's certificate, and nobody else's."""
    monkeypatch.setenv("SSL_CERT_FILE", mailserver.ca_file)
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


@pytest.fixture
def arrive(session: Session, coded: CodedDomain) -> Callable[..., UUID]:
    """Stores a mail at an address of an e-mail, as the server does; returns its id."""

    def store(email_id: UUID | None, raw: bytes, use: AddressUse = AddressUse.BOUNCE) -> UUID:
        if email_id is None:  # at the address of feedback loops
            arrival = Arrival(recipient="fbl@in.example", return_path="", raw=raw)
            return messages.store(session, [arrival])[0]
        arrival = Arrival(
            recipient=coded.address(use, email_id),
            coded=CodedAddress(use=use, email_id=email_id),
            return_path="",
            raw=raw,
        )
        return messages.store(session, [arrival])[0]

    return store
