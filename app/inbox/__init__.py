"""The development inbox: `serve` for a process, `Inbox` for a thread of a test or demo."""

from app.inbox.offer import Offer
from app.inbox.server import Inbox, serve

__all__ = ["Inbox", "Offer", "serve"]
