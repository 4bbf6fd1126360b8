"""A message that came back may hold what ended its worker: then each start is noted before it is made.

A mail whose starts stay is tried four times (as in the send stage) and ends as `failed`; only the
mail in work is charged, so its neighbours go on. Messages that come for the first time pay nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from uuid import UUID

from dramatiq.middleware import CurrentMessage

from actors import runtime
from app.lifecycle import starts
from app.queueing.consumer import LadderMessage
from app.sending.outcome import MOST_STARTS

WornOut = Sequence[tuple[UUID, int]]

_NOTHING: AbstractContextManager[WornOut] = nullcontext(())


def is_redelivered() -> bool:
    """Tell whether the message in work was delivered before: its worker may have died of it."""
    message = CurrentMessage.get_current_message()
    return isinstance(message, LadderMessage) and message.is_redelivered


@contextmanager
def noted(ids: Sequence[UUID]) -> Iterator[WornOut]:
    """Note a start of these while the body runs; yields (id, deaths) of those not to be tried."""
    begun = starts.begin(runtime.session(), ids)
    try:
        yield [(email_id, n - 1) for email_id, n in begun.items() if n > MOST_STARTS]
    finally:
        starts.end(runtime.session(), ids)


def unnoted(ids: Sequence[UUID]) -> AbstractContextManager[WornOut]:
    """Do nothing around the body: the message came for the first time. Asked for every mail."""
    del ids
    return _NOTHING
