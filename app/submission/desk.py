"""What a submission is taken with: who submits, and what other rooms do for it.

Rooms never import each other, so whoever joins them (the API's edge) hands over what is needed of
assembly and tenancy as functions.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.audit import Author
from app.db.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """Who submits and when. `is_simulated`: a test key or a sandbox app, nothing leaves.

    `now` is when the request came, UTC.
    """

    app_id: UUID
    author: Author
    now: dt.datetime
    is_simulated: bool = False
    idempotency_key: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSender:
    """A sender address no account stands for yet."""

    app_id: UUID
    address: str
    display_name: str
    author: Author


Words = tuple[str, str | None, str | None]  # subject, HTML, text
StoreContents = Callable[[Session, UUID, Sequence[Words]], list[UUID]]
OpenAccount = Callable[[Session, NewSender], UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What other rooms do: store contents of an app, open an account for a sender.

    `open_account` raises InputInvalid when the address may not send. `pepper` keys address hashes.
    """

    store_contents: StoreContents
    open_account: OpenAccount
    pepper: str
