"""The life of a worker process: logs first, and what was opened is closed."""

from actors import runtime
from actors.declare import on_boot, on_stop
from app.config import require_secrets, settings
from app.db.session import close_thread_session
from app.log import configure


def start() -> None:
    """Set up logs before anything happens; refuse to work without secrets."""
    configure(settings().log_level, settings().log_format)
    require_secrets(settings())


def stop() -> None:
    """Close connections; a journal without open rows removes itself."""
    runtime.smtp_pool().close_all()
    runtime.publisher().close()
    runtime.limiter().close()
    runtime.guard().close()
    runtime.journal().close()
    close_thread_session()


on_boot.insert(0, start)
on_stop.append(stop)
