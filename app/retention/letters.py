"""Dead letters nobody decided about for as long as their app keeps mail: given up, row and message."""

from collections.abc import Iterator, Sequence

from app.audit import Author
from app.db.session import Session
from app.queueing import dead_letter_rows, redrive
from app.queueing.dead_letter_rows import Choice
from app.queueing.dead_letters import DeadLetter
from app.sending import redrives

_BATCH = 100
_REASON = "older than its app keeps mail"


def discard(session: Session, rabbitmq_url: str, choices: Sequence[Choice], author: Author) -> int:
    """Discard what is chosen, in RabbitMQ too, or its row would be written anew; return how many.

    Their mails stay as they are. Raises DependencyUnavailable, when there is anything to discard.
    """
    found = [choice for choice in choices if next(_batches(session, choice), None)]
    if not found:
        return 0
    with redrive.opened(rabbitmq_url) as channel:
        done = 0
        for choice in found:
            for batch in _batches(session, choice):
                redrives.discard(session, batch, author, _REASON)
                redrive.throw_away(channel, batch)
                done += len(batch)
    return done


def _batches(session: Session, choice: Choice) -> Iterator[list[DeadLetter]]:
    """Yield what is chosen, batch by batch; a batch that is discarded is not met again."""
    while batch := dead_letter_rows.open_letters(session, choice, limit=_BATCH):
        yield batch
