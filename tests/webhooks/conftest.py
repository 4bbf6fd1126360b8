"""An app with an endpoint that a receiver on loopback stands behind."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from actors.notify import Means, serve_once
from app.clock import utc_now
from app.db.session import Session
from app.webhooks import dispatch, endpoints, fanout
from app.webhooks.destination import Reach
from app.webhooks.endpoints import Endpoint, NewEndpoint
from tests import factories
from tests.webhooks.receiver import Receiver, listening

REACH = Reach(networks=("127.0.0.0/8",))
MEANS = Means(box=factories.BOX, reach=REACH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An app whose mails are told to a receiver, at a time the test passes on."""

    session: Session
    app_id: UUID
    endpoint: Endpoint
    secret: str
    receiver: Receiver

    def pass_on(self, now: dt.datetime | None = None) -> int:
        """Do what the stage does once: fan out, serve who has something due; count successes."""
        when = now or utc_now() + dt.timedelta(seconds=1)
        while fanout.fan_out(self.session):
            pass
        delivered = 0
        for endpoint_id in dispatch.take(self.session, when):
            while done := serve_once(self.session, MEANS, endpoint_id, when):
                delivered += done
            dispatch.release(self.session, endpoint_id)
        return delivered

    def shown(self) -> Endpoint:
        return endpoints.get(self.session, self.app_id, self.endpoint.id)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as found:
        yield found


@pytest.fixture
def told(session: Session, receiver: Receiver) -> Told:
    app_id = factories.make_app(session).id
    new = NewEndpoint(app_id=app_id, url=receiver.url)
    made = endpoints.create(session, factories.BOX, new, REACH, factories.AUTHOR)
    return Told(
        session=session,
        app_id=app_id,
        endpoint=made.endpoint,
        secret=made.secret,
        receiver=receiver,
    )
