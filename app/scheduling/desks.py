"""What the submission room needs of its neighbours, joined: content and senders."""

from uuid import UUID

from app.assembly.contents import versions_for
from app.db.session import Session
from app.submission.desk import Desk, NewSender
from app.tenancy import senders


def desk(pepper: str) -> Desk:
    """Return what other rooms do for a submission; `pepper` keys address hashes."""
    return Desk(store_contents=versions_for, open_account=_open_account, pepper=pepper)


def _open_account(session: Session, new: NewSender) -> UUID:
    return senders.open_account(session, new.app_id, new.address, new.display_name, new.author)
