"""What one worker process holds: its session, publisher, limiter, journal, SMTP pools, keys.

Everything is made at first use, after the fork, and closed when the worker stops.
"""

import functools
import threading
from pathlib import Path
from typing import cast

import dramatiq

from actors.turnstile import Turnstile
from app.config import settings
from app.db.session import Session, thread_session
from app.mail import verp
from app.mail.verp import CodedDomain
from app.policy.mirrors import DiskMirror, RedisMirror
from app.policy.rate_limits import RateLimiter
from app.queueing.broker import LadderBroker
from app.queueing.publisher import BatchPublisher
from app.scheduling.quarantine import Guard
from app.secretbox import SecretBox
from app.sending.route import Surroundings
from app.smtp.journal import Journal
from app.smtp.pool import Pool
from app.smtp.resolve import networks_in
from tracking.tokens import TokenKeys


def session() -> Session:
    """Return this thread's database session."""
    return thread_session(settings().database_url)


def reads(queue: str) -> bool:
    """Tell whether the worker of this process reads `queue`."""
    return queue in cast("LadderBroker", dramatiq.get_broker()).read_here


def journal_directory() -> Path:
    """Return where this host's attempt journals lie."""
    return settings().state_dir / "journal"


@functools.cache
def publisher() -> BatchPublisher:
    """Return the process's publisher."""
    return BatchPublisher(settings().rabbitmq_url)


@functools.cache
def limiter() -> RateLimiter:
    """Return the process's rate limiter."""
    return RateLimiter(settings().redis_url)


def guard() -> Guard:
    """Return the process's guard of the send epoch."""
    now = settings()
    return _guard(now.state_dir / "epoch", now.redis_url)


@functools.lru_cache(maxsize=1)
def _guard(folder: Path, redis_url: str) -> Guard:
    return Guard((DiskMirror(folder), RedisMirror(redis_url)))


_journal_lock = threading.Lock()


def journal() -> Journal:
    """Return the process's attempt journal: one, however many threads ask at once."""
    with _journal_lock:
        return _journal()


@functools.cache
def _journal() -> Journal:
    return Journal(journal_directory())


@functools.cache
def token_keys() -> TokenKeys:
    """Return the keys of tracking tokens."""
    return TokenKeys.from_setting(settings().tracking_keys.get_secret_value())


def coded_domain() -> CodedDomain | None:
    """Return where the process's mail may be answered; None when no inbound domain is set."""
    now = settings()
    return _coded_domain(now.inbound_domain, now.tracking_keys.get_secret_value())


@functools.lru_cache(maxsize=1)
def _coded_domain(domain: str, keys: str) -> CodedDomain | None:
    return verp.coded_domain(domain, keys)


@functools.cache
def surroundings() -> Surroundings:
    """Return what the process adds to every route."""
    now = settings()
    return Surroundings(
        secretbox=SecretBox.from_setting(now.sealing_keys.get_secret_value()),
        helo=now.helo_name,
        allowed_networks=networks_in(now.smtp_allowed_networks),
    )


@functools.cache
def smtp_pool() -> Pool:
    """Return the process's SMTP connections: each thread drives a group of its own per server."""
    return Pool()


@functools.cache
def turnstile() -> Turnstile:
    """Return who may enter which SMTP server in this process."""
    return Turnstile(settings().worker_threads)


def worker_name() -> str:
    """Return who claims: this process's journal and this thread, which holds one message."""
    return f"{journal().name}/{threading.get_ident()}"
