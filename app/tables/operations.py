"""How it is run: jobs, webhooks, audit, idempotency, dead letters, erasure requests."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from app.tables import base
from app.tables.base import metadata

scheduled_jobs = sa.Table(
    "scheduled_jobs",
    metadata,
    base.key(),
    base.app_id(),
    base.text("name"),
    base.text("cron"),
    base.text("timezone", default="UTC"),
    base.json("action"),
    base.flag("is_enabled", "true"),
    base.time("next_run_at"),
    base.time("last_run_at"),
    base.created_at(),
    sa.UniqueConstraint("app_id", "name"),
    sa.Index(
        "scheduled_jobs_due", "next_run_at", postgresql_where=sa.text("next_run_at IS NOT NULL")
    ),
)

# One row for each run, so that no run happens twice. `missed`: earlier times it stands for.
scheduled_job_runs = sa.Table(
    "scheduled_job_runs",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("job_id", "scheduled_jobs"),
    sa.Column("scheduled_for", base.TIME, nullable=False),
    base.text("trigger"),
    base.number("missed"),
    sa.Column("message_id", base.UUID),
    base.text("error", nullable=True),
    base.created_at(),
    sa.UniqueConstraint("job_id", "scheduled_for"),
    base.one_of("trigger", ("clock", "person")),
)

# What is to be told, noted by the statement that moved the mail; the fan-out takes it away. No
# foreign key: each noted event would lock its app's row.
webhook_events = sa.Table(
    "webhook_events",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("app_id", base.UUID, nullable=False),
    sa.Column("email_id", base.UUID),
    base.text("event"),
    base.json("data"),
    sa.Column("at", base.TIME, nullable=False, server_default=sa.text("now()")),
)

# `failures` in a row since `failing_since`; nothing is sent before `resting_until`; a worker serves
# it alone until `served_until`. Empty `events` = all.
webhook_endpoints = sa.Table(
    "webhook_endpoints",
    metadata,
    base.key(),
    base.app_id(),
    base.text("url"),
    base.text("secret_sealed"),
    base.texts("events"),
    base.text("status", default="active"),
    base.created_at(),
    base.text("description", default=""),
    base.text("previous_secret_sealed", nullable=True),
    base.time("previous_secret_until"),
    base.text("pause_reason", nullable=True),
    base.number("failures"),
    base.time("failing_since"),
    base.time("resting_until"),
    base.time("served_until"),
    base.one_of("status", ("active", "paused", "disabled")),
    sa.Index("webhook_endpoints_app_id_id", "app_id", "id"),
)

# `lease_until` names the claim: an outcome counts only under the lease it was claimed with.
webhook_deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("endpoint_id", "webhook_endpoints"),
    base.text("event"),
    base.json("payload"),
    base.text("status", default="pending"),
    base.number("attempts", kind=sa.SmallInteger),
    base.number("response_code", None, kind=sa.SmallInteger),
    base.text("error", nullable=True),
    base.time("due_at"),
    base.created_at(),
    sa.Column("event_id", sa.BigInteger),
    sa.Column("email_id", base.UUID),
    base.time("lease_until"),
    base.time("attempted_at"),
    base.time("delivered_at"),
    base.number("duration_ms", None),
    base.json("request_headers", None),
    base.text("response_body", nullable=True),
    base.one_of("status", ("pending", "delivered", "failed")),
    sa.UniqueConstraint("endpoint_id", "event_id"),
    sa.CheckConstraint("(status = 'pending') = (due_at IS NOT NULL)", name="due_while_pending"),
    sa.Index(
        "webhook_deliveries_due",
        "endpoint_id",
        "due_at",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    ),
    sa.Index(
        "webhook_deliveries_before",
        "endpoint_id",
        "email_id",
        "event_id",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    ),
    sa.Index("webhook_deliveries_app_id_id", "app_id", "id"),
    sa.Index("webhook_deliveries_endpoint_id_id", "endpoint_id", "id"),
    sa.Index("webhook_deliveries_email_id", "email_id"),
)

# Append-only by trigger; partitioned by id; refers to people by pseudonymous ids and hashes.
audit_logs = sa.Table(
    "audit_logs",
    metadata,
    base.key(),
    sa.Column("app_id", base.UUID),
    base.text("actor"),
    base.text("action"),
    base.text("target_kind"),
    base.text("target_id"),
    base.text("origin", nullable=True),
    base.json("before", None),
    base.json("after", None),
    base.created_at(),
    sa.Index("audit_logs_app_id_id", "app_id", "id"),
    postgresql_partition_by="RANGE (id)",
)

# Without an app: requests that concern none, such as making one. The body is kept as it was sent.
idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    base.app_id(nullable=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("request_hash", base.HASH, nullable=False),
    base.number("response_status", None, kind=sa.SmallInteger),
    sa.Column("response_body", pg.BYTEA),
    sa.Column("expires_at", base.TIME, nullable=False),
    base.created_at(),
    sa.UniqueConstraint(
        "app_id", "key", name="idempotency_keys_key", postgresql_nulls_not_distinct=True
    ),
    sa.Index("idempotency_keys_expires_at", "expires_at"),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    base.key(),
    base.app_id(nullable=True),
    base.text("queue"),
    base.text("actor", nullable=True),
    base.json("message"),
    base.text("error_class"),
    base.text("error"),
    base.text("traceback", nullable=True),
    base.text("fingerprint"),
    base.number("attempts", kind=sa.SmallInteger),
    base.text("request_id", nullable=True),
    sa.Column("failed_at", base.TIME, nullable=False, server_default=sa.text("now()")),
    base.text("status", default="open"),
    base.time("resolved_at"),
    base.text("resolved_by", nullable=True),
    base.text("reason", nullable=True),
    base.time("published_at"),  # NULL: the sweeper has to publish it to mail.dead
    base.one_of("status", ("open", "retried", "discarded")),
    sa.Index("dead_letters_app_id_status_fingerprint", "app_id", "status", "fingerprint"),
    sa.Index("dead_letters_unpublished", "id", postgresql_where=sa.text("published_at IS NULL")),
)

gdpr_requests = sa.Table(
    "gdpr_requests",
    metadata,
    base.key(),
    base.app_id(),
    base.text("kind"),
    sa.Column("email_hash", base.HASH, nullable=False),
    base.text("status", default="open"),
    base.json("receipt", None),
    base.time("finished_at"),
    base.created_at(),
    base.text("requested_by", default=""),
    base.one_of("kind", ("export", "erase")),
    base.one_of("status", ("open", "running", "done", "failed")),
    sa.Index("gdpr_requests_app_id_id", "app_id", "id"),
)

# Files that hold what retention took out of the database. A series is a partition, in parts.
archives = sa.Table(
    "archives",
    metadata,
    base.key(),
    base.text("series"),
    sa.Column("part", sa.Integer, nullable=False),
    base.text("location"),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", base.HASH, nullable=False),
    sa.Column("last_key", pg.ARRAY(base.UUID), nullable=False),
    base.flag("is_last"),
    base.created_at(),
    sa.UniqueConstraint("series", "part"),
)

# One row, made by the first pass; app/lifecycle/epoch says what it is for. `home` is the server
# and database that sent last: a copy finds that it is not at home.
send_epoch = sa.Table(
    "send_epoch",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, server_default=sa.text("1")),
    sa.Column("lineage", base.UUID, nullable=False),
    base.number("counter", kind=sa.BigInteger),
    base.text("home"),
    sa.Column("advanced_at", base.TIME, nullable=False, server_default=sa.text("now()")),
    base.time("quarantined_at"),
    base.text("reason", nullable=True),
    base.created_at(),
    sa.CheckConstraint("id = 1", name="one_row"),
    sa.CheckConstraint("(quarantined_at IS NULL) = (reason IS NULL)", name="quarantine_whole"),
)
