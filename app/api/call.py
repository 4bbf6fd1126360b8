"""One request as a handler sees it: who asks, the session, the time; and what follows a commit."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from app.audit import Author
from app.config import Settings
from app.db.session import Session, tenant_transaction
from app.errors import DependencyUnavailable, Forbidden, InputInvalid
from app.submission.crowd import Crowd
from app.tenancy.scopes import Scope

APP_HEADER = "X-App-Id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks. `app_id` None = a super_admin who named no app; `per_minute` None = no limit.

    `limit_key` is what the request's tokens are counted under. `is_rehearsing`: a test key of an app
    that sends for real.
    """

    app_id: UUID | None
    scopes: frozenset[Scope]
    author: Author
    limit_key: str
    per_minute: int | None = None
    is_test: bool = False
    is_rehearsing: bool = False
    is_operator: bool = False

    def may(self, scope: Scope) -> bool:
        """Return whether this caller has `scope`; admin has them all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


Wake = Callable[[UUID | None], None]
Announce = Callable[[Sequence[UUID]], None]
Fetch = Callable[[str], bytes]


def wake_nobody(account_id: UUID | None) -> None:
    """Leave it to the clock."""
    del account_id


def announce_nothing(message_ids: Sequence[UUID]) -> None:
    """Leave it to the sweeper."""
    del message_ids


def fetch_nothing(url: str) -> bytes:
    """Reach nobody."""
    raise DependencyUnavailable(f"{url} is not asked.", why="This process asks nobody.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a handler may do beyond the database.

    `wake` has the due mails of an account released at once; None: has the schedule stage look.
    `announce` has stored inbound messages worked off at once. `fetch` returns what stands at a
    public URL, once per URL; raises InputInvalid or DependencyUnavailable.
    """

    wake: Wake = wake_nobody
    announce: Announce = announce_nothing
    fetch: Fetch = fetch_nothing


NOWHERE = Outside()


@dataclass(slots=True, kw_only=True)
class Call:
    """One request. `after_commit` runs when the transaction is kept, and never otherwise.

    `crowd` stores e-mails together with those of other requests; None: this one has a transaction.
    """

    open_session: Callable[[], Session]
    caller: Caller
    settings: Settings
    now: dt.datetime
    request_id: str
    outside: Outside = NOWHERE
    crowd: Crowd | None = None
    after_commit: list[Callable[[], None]] = field(default_factory=list)

    @property
    def session(self) -> Session:
        """Return this thread's session."""
        return self.open_session()

    @property
    def app_id(self) -> UUID:
        """Return the app the request is about; raises InputInvalid when nobody named one."""
        if self.caller.app_id is None:
            raise InputInvalid(
                "Which app is meant?",
                why="A super_admin sees every app.",
                fix=f"Name one in the header {APP_HEADER}.",
                field=APP_HEADER,
            )
        return self.caller.app_id

    @property
    def author(self) -> Author:
        """Return who the audit log names."""
        return self.caller.author

    def require_live(self) -> None:
        """Raise Forbidden for a test key where what it starts could not be simulated."""
        if self.caller.is_rehearsing:
            raise Forbidden(
                "A test key cannot start this.",
                why="It would send real mail of an app that is no sandbox.",
                fix="Use a live key, or an app made with is_sandbox.",
            )

    @contextmanager
    def tenant(self) -> Iterator[Session]:
        """Open one transaction confined to the caller's app."""
        with tenant_transaction(self.session, self.app_id) as session:
            yield session

    @contextmanager
    def operator(self) -> Iterator[Session]:
        """Open one transaction over all apps; raises Forbidden for who is no super_admin."""
        if not self.caller.is_operator:
            raise Forbidden(
                "Only a super_admin may do this.",
                why="It reaches beyond one app.",
                fix="Ask whoever runs this installation.",
            )
        with self.session.transaction():
            yield self.session

    def scope(self) -> AbstractContextManager[Session]:
        """Open the app's transaction, or, of an operator who names none, one over all apps."""
        if self.caller.app_id is None and self.caller.is_operator:
            return self.operator()
        return self.tenant()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer whose bytes the handler wrote itself; subclasses name their media type."""

    body: bytes
    filename: str | None = None
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Csv(Answer):
    """A table as CSV (RFC 4180)."""

    media_type: str = "text/csv; charset=utf-8"
