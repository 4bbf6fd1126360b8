"""Every metric of the system, defined once; no label may grow without bound."""

from prometheus_client import Counter, Gauge, Histogram

EMAILS_RELEASED = Counter("mailqueue_emails_released", "E-mails released to the stages.")
EMAILS_PLANNED = Counter("mailqueue_emails_planned", "E-mails created by campaign sequences.")
EMAILS_FINISHED = Counter("mailqueue_emails_finished", "E-mails by outcome.", ["state"])
EMAILS_IN_FLIGHT = Gauge("mailqueue_emails_in_flight", "Released and not finished.")
BREAKERS_OPENED = Counter("mailqueue_breakers_opened", "Circuit breakers of SMTP servers opened.")
LATENESS_S = Histogram(
    "mailqueue_release_lateness_seconds",
    "Release time minus due time of the most overdue mail of a release.",
)
MESSAGES_DEAD = Counter("mailqueue_messages_dead", "Dead-lettered messages.", ["queue"])
MESSAGES_RETRIED = Counter("mailqueue_messages_retried", "Messages put on the ladder.", ["queue"])
MESSAGE_S = Histogram("mailqueue_message_seconds", "Time in work of one message.", ["actor"])
INBOUND = Counter("mailqueue_inbound", "What came back, worked off.", ["source", "effect"])
HITS = Counter("mailqueue_hits", "Tracking hits accepted by this process.", ["kind"])
HITS_UNSPOOLED = Counter("mailqueue_hits_unspooled", "Hits the local disk did not take.")
HITS_DISCARDED = Counter("mailqueue_hits_discarded", "Spooled lines that are no hit.")
SPOOL_BYTES = Gauge("mailqueue_spool_bytes", "Tracking hits waiting on local disk.")
LEDGER_OFF = Gauge(
    "mailqueue_ledger_off",
    "E-mails the books are off by (0 is right).",
    multiprocess_mode="mostrecent",
)
