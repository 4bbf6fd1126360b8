"""The tracking process: its routes, keys and spool put together from the settings.

`app` runs under granian (`mailqueue tracking`) and any other WSGI server. It never opens the
database, and RabbitMQ only from the drain's own thread.
"""

from wsgiref.types import WSGIApplication

from app import log
from app.config import Settings, settings
from app.proxies import TrustedProxies
from app.queueing.publisher import BatchPublisher
from tracking.drain import HitStore
from tracking.hot import HotRoutes
from tracking.routes import create_app
from tracking.tokens import TokenKeys
from tracking.tracker import Tracker


def build(chosen: Settings, store: HitStore) -> WSGIApplication:
    """Return the tracking routes; raises ConfigurationInvalid for keys or proxies it cannot use."""
    keys = TokenKeys.from_setting(chosen.tracking_keys.get_secret_value())
    proxies = TrustedProxies(chosen.trusted_proxies)
    tracker = Tracker(keys, store.keep)
    return HotRoutes(create_app(tracker, proxies, store.waiting_bytes), tracker, proxies)


def hit_store(chosen: Settings) -> HitStore:
    """Return the store of hits under state_dir/spool; nothing is opened before the first hit."""
    return HitStore(chosen.state_dir / "spool", lambda: BatchPublisher(chosen.rabbitmq_url))


log.configure(settings().log_level, settings().log_format)
app = build(settings(), hit_store(settings()))
