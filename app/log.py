"""Structured logs: one event catalogue, keywords only, addresses never in clear (TRUST.md).

info = something happened to a mail; warning = degraded and handled; error = a human is needed.
"""

import logging
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any

import structlog

from app.redaction import masked_throughout, without_addresses


class Event(StrEnum):
    """Every event the system logs, as noun.verb_past."""

    BREAKER_CLOSED = "breaker.closed"
    BREAKER_OPENED = "breaker.opened"
    CAMPAIGN_STARTED = "campaign.started"
    CAMPAIGN_FINISHED = "campaign.finished"
    CHUNK_RELEASED = "chunk.released"
    CHUNK_REPUBLISHED = "chunk.republished"
    CHUNK_ASSEMBLED = "chunk.assembled"
    CHUNK_SENT = "chunk.sent"
    CHUNK_REFUSED = "chunk.refused"
    CLOCK_LED = "clock.led"
    CLOCK_STOOD_BY = "clock.stood_by"
    DEAD_LETTERS_PUBLISHED = "dead_letters.published"
    DEPENDENCY_LOST = "dependency.lost"
    DEPENDENCY_RETURNED = "dependency.returned"
    DOMAIN_SLOWED = "domain.slowed"
    EMAIL_STOPPED = "email.stopped"
    HITS_DISCARDED = "hits.discarded"
    HITS_RECORDED = "hits.recorded"
    INBOUND_PROCESSED = "inbound.processed"
    INBOUND_REFUSED = "inbound.refused"
    INBOUND_REPUBLISHED = "inbound.republished"
    INBOUND_STORED = "inbound.stored"
    JOB_RAN = "job.ran"
    JOB_REFUSED = "job.refused"
    JOURNAL_SETTLED = "journal.settled"
    LEDGER_OFF = "ledger.off"
    LEASE_EXPIRED = "lease.expired"
    MAILBOX_FAILED = "mailbox.failed"
    MAILBOX_READ = "mailbox.read"
    MESSAGE_DEAD_LETTERED = "message.dead_lettered"
    MESSAGE_REDELIVERED = "message.redelivered"
    MESSAGE_RETRIED = "message.retried"
    PARTITION_CREATED = "partition.created"
    PERSON_FORGOTTEN = "person.forgotten"
    PASS_FINISHED = "pass.finished"  # noqa: S105 - a scheduling pass, no password
    PROCESS_STARTED = "process.started"
    PROCESS_STOPPED = "process.stopped"
    RETENTION_APPLIED = "retention.applied"
    REQUEST_FAILED = "request.failed"
    SENDER_JUDGED = "sender.judged"
    SENDING_QUARANTINED = "sending.quarantined"
    SPOOL_ADOPTED = "spool.adopted"
    SPOOL_FAILED = "spool.failed"
    SPOOL_GREW = "spool.grew"
    SPOOL_DRAINED = "spool.drained"
    STAGE_MOVED = "stage.moved"
    STATS_FOLDED = "stats.folded"
    WEBHOOKS_DELIVERED = "webhooks.delivered"
    TICK_FAILED = "tick.failed"


def _without_addresses(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Mask addresses in every value: what servers and libraries say may quote them."""
    return {name: masked_throughout(value) for name, value in event.items()}


class _OnlyWithoutAddresses(logging.Filter):
    """Mask addresses in lines of libraries: Dramatiq prints whole messages when an actor fails."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line through, written out and masked."""
        record.msg, record.args = without_addresses(record.getMessage()), None
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            record.exc_text = without_addresses(trace)
        return True


def configure(level: str, fmt: str) -> None:
    """Set up structlog and the standard library for this process; `fmt` is console or json."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _without_addresses,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if fmt == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=level.upper(), stream=sys.stderr, format="%(name)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_OnlyWithoutAddresses())
    # A lost connection is ours to report, once; pika adds a traceback to each try.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    # It quotes whatever a server says that is not ASCII.
    logging.getLogger("imapclient").setLevel(logging.CRITICAL)
    # aiosmtpd would log the lines of mails at debug.
    logging.getLogger("mail").setLevel(logging.WARNING)


def logger() -> structlog.typing.FilteringBoundLogger:
    """Return the process's logger; bind ids with structlog.contextvars around one message."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return bound
