"""A request under an idempotency key: handled once, its answer kept and repeated.

An answer with a secret in it (a new API key, a webhook's secret) is kept sealed: whoever reads the
table alone learns nothing (TRUST.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import NAMESPACE_OID, uuid5

from app.api.call import Call
from app.api.forms import secret_box
from app.errors import Conflict, Forbidden, InputInvalid, NotFound
from app.secretbox import Place
from app.submission import idempotency

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """An answer on its way out: what a replay repeats."""

    status: int
    body: bytes
    media_type: str = JSON
    filename: str | None = None


class Keep(Protocol):
    """How an answer's bytes are kept until a replay."""

    def close(self, call: Call, key: str, body: bytes) -> bytes:
        """Return what is stored."""

    def open(self, call: Call, key: str, kept: bytes) -> bytes:
        """Return what was answered."""


class Plain:
    """As they are."""

    def close(self, call: Call, key: str, body: bytes) -> bytes:
        """Return what is stored."""
        del call, key
        return body

    def open(self, call: Call, key: str, kept: bytes) -> bytes:
        """Return what was answered."""
        del call, key
        return kept


class Sealed:
    """Sealed, bound to the caller's app and the key."""

    def close(self, call: Call, key: str, body: bytes) -> bytes:
        """Return what is stored."""
        return secret_box(call.settings).seal(body.decode(), **_place(call, key)).encode()

    def open(self, call: Call, key: str, kept: bytes) -> bytes:
        """Return what was answered; raises SealBroken."""
        return secret_box(call.settings).open(kept.decode(), **_place(call, key)).encode()


PLAIN, SEALED = Plain(), Sealed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """One request under its idempotency key."""

    key: str
    digest: bytes
    call: Call
    keep: Keep

    def inside(self, handle: Callable[[], Rendered]) -> Rendered:
        """Handle or replay in the transaction that is open."""
        replayed = self._begin()
        if replayed is not None:
            return replayed
        rendered = handle()
        self._finish(rendered)
        return rendered

    def around_own(self, handle: Callable[[], Rendered]) -> Rendered:
        """Claim the key, handle, keep the answer: three steps, for what talks to a network."""
        with self.call.scope():
            replayed = self._begin()
        if replayed is not None:
            return replayed
        try:
            rendered = handle()
        except (Conflict, Forbidden, InputInvalid, NotFound):  # refused before anything was done
            with self.call.scope():
                idempotency.release(self.call.session, self.call.caller.app_id, self.key)
            raise
        with self.call.scope():
            self._finish(rendered)
        return rendered

    def _begin(self) -> Rendered | None:
        call = self.call
        found = idempotency.begin(call.session, call.caller.app_id, self.key, self.digest, call.now)
        if found is None:
            return None
        return Rendered(status=found.status, body=self.keep.open(call, self.key, found.body))

    def _finish(self, rendered: Rendered) -> None:
        call = self.call
        body = self.keep.close(call, self.key, rendered.body)
        idempotency.finish(call.session, call.caller.app_id, self.key, rendered.status, body)


def _place(call: Call, key: str) -> Place:
    return {
        "table": "idempotency_keys",
        "column": "response_body",
        "row_id": uuid5(NAMESPACE_OID, key),
        "app_id": call.caller.app_id,
    }
