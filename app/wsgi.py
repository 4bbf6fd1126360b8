"""The web process: WSGI `app.wsgi:app`, under granian (`mailqueue web`) or any WSGI server."""

import contextlib
import functools
import gc

from flask import Flask

from actors import schedule
from actors.relay import Relay
from actors.schedule import PassSummary
from app import log
from app.api import catalogue, cron, docs, failures, health, people, placeholder
from app.api.authentication import Door
from app.api.call import Fetch, Outside
from app.api.placeholder import Link
from app.api.submitting import crowd_of
from app.config import Settings, settings
from app.db.session import thread_session
from app.feedback import messages
from app.policy.request_limits import RequestLimiter
from app.proxies import TrustedProxies
from app.queueing.depth import DepthGauge
from app.queueing.publisher import BatchPublisher
from app.queueing.steps import SCHEDULE
from app.tenancy.keyring import Keyring
from app.webhooks import wire
from app.webhooks.destination import Reach

_MAX_BODY_BYTES = 40_000_000


def create_app(now: Settings, fetch: Fetch | None = None) -> Flask:
    """Return the web application made of these settings; opens no connection yet.

    `fetch` reads public URLs; by default the network, as webhooks reach it.
    """
    web = Flask("app", static_folder=None)
    web.config["MAX_CONTENT_LENGTH"] = _MAX_BODY_BYTES
    failures.register(web)
    limiter = RequestLimiter(now.redis_url)
    checks: dict[str, health.Check] = {
        "postgresql": functools.partial(_check_database, now),
        "redis": limiter.ping,
        "rabbitmq": functools.partial(_check_rabbitmq, now),
    }
    catalogue.serve(web, checks, _door(now, limiter, fetch or _fetcher(now)))
    web.register_blueprint(docs.blueprint(catalogue.contract()))
    web.register_blueprint(health.blueprint(functools.partial(_check_database, now)))
    web.register_blueprint(cron.blueprint(now.cron_secret, functools.partial(_run_pass, now)))
    web.register_blueprint(placeholder.blueprint(_links(now)))
    return web


def _fetcher(now: Settings) -> Fetch:
    """Return what fetches a URL once: certificates never change, a confirmation is done."""
    reach = Reach.of(now)
    return functools.lru_cache(maxsize=64)(lambda url: wire.get(url, reach))


def _door(now: Settings, limiter: RequestLimiter, fetch: Fetch) -> Door:
    return Door(
        settings=now,
        keyring=Keyring(now.api_key_pepper.get_secret_value()),
        read_person=people.reader(now),
        take_request=limiter.take_request,
        proxies=TrustedProxies(now.trusted_proxies),
        crowd=crowd_of(now),
        outside=Outside(
            wake=Relay(now).wake,
            announce=functools.partial(messages.announce, BatchPublisher(now.rabbitmq_url)),
            fetch=fetch,
        ),
    )


def _run_pass(now: Settings) -> PassSummary:
    return schedule.run_pass(thread_session(now.database_url), now, reason="cron")


def _check_database(now: Settings) -> None:
    thread_session(now.database_url).execute("SELECT 1")


def _check_rabbitmq(now: Settings) -> None:
    with contextlib.closing(DepthGauge(now.rabbitmq_url)) as gauge:
        gauge.ready(SCHEDULE.queue)


def _links(now: Settings) -> tuple[Link, ...]:
    inbox = f"http://{now.inbox_host}:{now.inbox_http_port}/"
    return (
        Link(title="Health", url="/health/ready", about="200 when a request would be served"),
        Link(title="Inbox", url=inbox, about="mail caught in development"),
        Link(
            title="Tracking", url=f"{now.tracking_url}/healthz", about="the public tracking routes"
        ),
    )


@functools.cache
def _configured() -> Flask:
    now = settings()
    log.configure(now.log_level, now.log_format)
    made = create_app(now)
    gc.freeze()  # what lives as long as the process is not looked at by every full collection
    return made


def __getattr__(name: str) -> Flask:
    """Make `app` when a server asks for it: importing this module needs no settings."""
    if name == "app":
        return _configured()
    raise AttributeError(name)
