"""Reading the mailboxes of accounts whose answers arrive elsewhere (IMAP, docs/inbound.md).

A thread looks every second for a mailbox whose turn it is; a few more read. What they find goes the
way of what comes by SMTP. Nothing in a mailbox is changed. Any number of processes may do this.
"""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from app.clock import monotonic_s
from app.config import Settings
from app.db.session import CONNECTION_LOST, Session, connect
from app.errors import DependencyUnavailable, MailqueueError
from app.feedback import matching, messages, polls
from app.feedback.matching import Owner
from app.feedback.polls import Cursor, Turn
from app.imap.opening import Opening
from app.log import Event, logger
from app.mail import verp
from app.queueing.publisher import BatchPublisher
from app.secretbox import SecretBox
from app.smtp.connection import ServerUnusable
from app.tenancy import mailboxes

CONNECTIONS = 8
MOST_BYTES = 5_000_000  # of one mail: enough to read it; the whole of it stays where it is
_LOOK_S = 120.0  # within the lease
_PAUSE_S, _LOST_PAUSE_S = 1.0, 5.0
_WINDOW = 5_000  # numbers asked for at once; most of them may be given to no mail
_MOST_WINDOWS = 50


class MailboxReader:
    """The mailboxes' readers of this process: `start()`, `stop()`; also a context manager."""

    def __init__(self, now: Settings) -> None:
        self._now = now
        self._publisher = BatchPublisher(now.rabbitmq_url)
        self._free = threading.Semaphore(CONNECTIONS)
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="mailbox")
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._watch_over, name="mailboxes")

    def start(self) -> Self:
        """Begin to look."""
        self._watch.start()
        return self

    def stop(self) -> None:
        """Finish the mail in hand; the rest is read next time."""
        self._stop.set()
        self._watch.join()
        self._threads.shutdown()
        self._publisher.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _watch_over(self) -> None:
        """Give out turns until the process ends; PostgreSQL away is waited out."""
        while not self._stop.is_set():
            try:
                with contextlib.closing(connect(self._now.database_url)) as session:
                    while not self._stop.is_set():
                        self._give_out(session)
                        self._stop.wait(_PAUSE_S)
            except (*CONNECTION_LOST, DependencyUnavailable) as error:
                logger().warning(Event.DEPENDENCY_LOST, dependency="postgresql", error=str(error))
            except Exception:  # noqa: BLE001 - the outermost loop: without it nothing is read again
                logger().exception(Event.MAILBOX_FAILED)
            self._stop.wait(_LOST_PAUSE_S)

    def _give_out(self, session: Session) -> None:
        polls.begin(session)
        while self._free.acquire(blocking=False):
            with contextlib.ExitStack() as unused:
                unused.callback(self._free.release)
                turn = polls.take(session)
                if turn is None:
                    return
                self._threads.submit(self._serve, turn)
                unused.pop_all()

    def _serve(self, turn: Turn) -> None:
        try:
            with contextlib.closing(connect(self._now.database_url)) as session:
                self.look(session, turn)
        except (*CONNECTION_LOST, DependencyUnavailable) as error:  # the lease ends by itself
            logger().warning(Event.DEPENDENCY_LOST, dependency="postgresql", error=str(error))
        except Exception:  # noqa: BLE001 - the outermost loop: the mailbox rests, others go on
            logger().exception(Event.MAILBOX_FAILED, account_id=str(turn.account_id))
        finally:
            self._free.release()

    def look(self, session: Session, turn: Turn) -> None:
        """Read what is new in one mailbox, or note why it cannot be read."""
        step = "password"
        try:
            box = SecretBox.from_setting(self._now.sealing_keys.get_secret_value())
            mailbox = mailboxes.get(session, box, turn.app_id, turn.account_id)
            server = mailbox.server(self._now.smtp_allowed_networks)
            with contextlib.closing(Opening(server, mailbox.folder, _LOOK_S)) as opening:
                for step, call in opening.steps():  # noqa: B007 - the last one is blamed
                    call()
                step = "read"
                has_more = self._read(session, turn, mailbox.place, opening)
        except ServerUnusable as error:
            polls.failed(session, turn, step, error.what)
            logger().warning(
                Event.MAILBOX_FAILED, account_id=str(turn.account_id), step=step, why=error.what
            )
        except DependencyUnavailable:
            raise
        except MailqueueError as error:
            polls.failed(session, turn, step, error.what)
        except CONNECTION_LOST:
            raise
        except Exception as error:
            polls.failed(session, turn, step, f"Unexpected: {type(error).__name__}.")
            raise
        else:
            polls.done(session, turn, has_more=has_more)

    def _read(self, session: Session, turn: Turn, place: str, opening: Opening) -> bool:
        """Store every new mail that answers one of ours; tell whether time ran out before the end."""
        ends_at_s = monotonic_s() + _LOOK_S / 2
        owner = Owner(app_id=turn.app_id, account_id=turn.account_id, address=turn.address)
        coded = verp.coded_domain(
            self._now.inbound_domain, self._now.tracking_keys.get_secret_value()
        )
        reached = turn.last_uid
        for uid, cursor in _new(turn, place, opening):
            raw = None if uid is None else opening.fetch(uid, MOST_BYTES)
            found = raw and matching.match(session, owner, raw, coded)
            stored = polls.keep(session, turn, cursor, [found] if found else [])
            if stored is None:
                return False
            reached = cursor.last_uid
            if stored:
                messages.announce(self._publisher, stored)
                logger().info(
                    Event.MAILBOX_READ, account_id=str(turn.account_id), stored=len(stored)
                )
            if self._stop.is_set() or monotonic_s() > ends_at_s:
                return True
        return reached + _WINDOW < opening.folder.next_uid


def _new(turn: Turn, place: str, opening: Opening) -> Iterator[tuple[int | None, Cursor]]:
    """Yield each new mail's number, in order, with the cursor that stands once it is stored.

    None is yielded for a stretch of numbers that no mail has: they are given away for ever.
    """
    folder = opening.folder
    last = turn.last_uid
    if (turn.place, turn.uid_validity) != (place, folder.validity):
        # Another folder, or all mails got other numbers (RFC 3501, 2.3.1.1).
        known = opening.uids_since(turn.since)
        last = min(known, default=folder.next_uid) - 1
        yield None, Cursor(place=place, uid_validity=folder.validity, last_uid=last)
    for _ in range(_MOST_WINDOWS):
        end = min(last + _WINDOW, folder.next_uid - 1)
        if end <= last:
            return
        for uid in sorted(opening.uids_between(last + 1, end)):
            yield uid, Cursor(place=place, uid_validity=folder.validity, last_uid=uid)
        if end + 1 < folder.next_uid:  # the newest may be on their way into the folder
            yield None, Cursor(place=place, uid_validity=folder.validity, last_uid=end)
        last = end
