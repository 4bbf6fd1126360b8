"""What is being sent: contents, batches, e-mails, their timelines, released chunks.

Two rules decide the speed of `emails` (DESIGN 5): no index may mention a column that claim or
outcome change, not even in its WHERE clause, or every update stops being HOT; and fillfactor 60
leaves room for the two versions that follow. So scheduled <=> due_at IS NOT NULL.

`emails` and `email_events` carry no foreign keys: each would cost a look-up and a row lock per
mail. Their writers (app/lifecycle) copy ids from rows that were read in the same transaction.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from app.tables import base
from app.tables.base import metadata

messages = sa.Table(
    "messages",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("template_version_id", "template_versions", ondelete=None),
    base.json("headers"),
    base.texts("tags"),
    base.json("metadata"),
    base.number("recipients"),  # the ledger's "planned" of single submissions
    base.created_at(),
    # {"from_name", "reply_to": [address], "to": [{"email", "name"}], "cc": [...]}: the headers as
    # every recipient sees them. An empty "to": each mail names its own recipient.
    base.json("addressing"),
    sa.Column("tracks_opens", sa.Boolean),  # NULL: tracked, as is usual
    sa.Column("tracks_clicks", sa.Boolean),
    base.flag("is_simulated"),
    base.flag("unsubscribe"),
    base.text("idempotency_key", nullable=True),
    sa.Index("messages_app_id_id", "app_id", "id"),
    sa.Index("messages_template_version_id", "template_version_id"),
)

attachments = sa.Table(
    "attachments",
    metadata,
    base.key(),
    base.app_id(),
    sa.Column("content_hash", base.HASH, nullable=False),
    base.text("content_type"),
    base.number("size_bytes"),
    sa.Column("content", pg.BYTEA, nullable=False),
    base.created_at(),
    sa.UniqueConstraint("app_id", "content_hash"),
)

message_attachments = sa.Table(
    "message_attachments",
    metadata,
    sa.Column(
        "message_id", base.UUID, sa.ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("position", sa.SmallInteger, primary_key=True, autoincrement=False),
    base.app_id(),
    base.refers("attachment_id", "attachments", ondelete=None),
    base.text("filename"),
    base.text("content_id", nullable=True),
    base.flag("is_inline"),
    sa.CheckConstraint("NOT is_inline OR content_id IS NOT NULL", name="inline_is_named"),
    sa.Index("message_attachments_attachment_id", "attachment_id"),
)

batches = sa.Table(
    "batches",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("message_id", "messages", nullable=True, ondelete="SET NULL"),
    base.text("status", default="accepted"),
    base.number("accepted"),
    base.number("expanded"),
    sa.Column("body_compressed", pg.BYTEA),
    base.json("rejected", "[]"),
    base.created_at(),
    base.one_of("status", ("accepted", "expanding", "expanded", "failed")),
    sa.Index("batches_open", "id", postgresql_where=sa.text("status IN ('accepted', 'expanding')")),
    sa.Index("batches_message_id", "message_id"),
)

# The enum is app.lifecycle.states.State, a floor above; a test holds the two in step.
EMAIL_STATES = (
    "scheduled",
    "queued",
    "sending",
    "sent",
    "delivered",
    "bounced",
    "complained",
    "failed",
    "unknown",
    "cancelled",
    "suppressed",
    "expired",
)

emails = sa.Table(
    "emails",
    metadata,
    base.key(),
    sa.Column("app_id", base.UUID, nullable=False),
    sa.Column("company_id", base.UUID),
    sa.Column("queue_id", base.UUID, nullable=False),
    sa.Column("account_id", base.UUID, nullable=False),
    sa.Column("template_version_id", base.UUID, nullable=False),
    sa.Column("campaign_id", base.UUID),
    sa.Column("step_id", base.UUID),
    sa.Column("enrolment_id", base.UUID),
    sa.Column("lead_id", base.UUID),
    sa.Column("batch_id", base.UUID),
    sa.Column("message_id", base.UUID),
    base.text("to_email"),
    base.text("to_name", nullable=True),
    base.text("to_domain"),
    sa.Column("to_hash", base.HASH, nullable=False),
    base.json("variables"),
    base.number("priority", 5, kind=sa.SmallInteger),
    base.text("status", default="scheduled"),
    base.text("reason", nullable=True),
    base.time("due_at"),
    base.time("window_closes_at"),
    base.time("expires_at"),
    base.number("attempt", kind=sa.SmallInteger),
    base.number("starts", kind=sa.SmallInteger),
    base.number("fence"),
    base.time("lease_until"),
    base.text("claimed_by", nullable=True),
    base.time("queued_at"),
    base.time("claimed_at"),
    base.time("sent_at"),
    base.number("smtp_code", None, kind=sa.SmallInteger),
    base.text("request_id", nullable=True),
    base.created_at(),
    base.one_of("status", EMAIL_STATES),
    sa.CheckConstraint("(status = 'scheduled') = (due_at IS NOT NULL)", name="due_while_scheduled"),
    sa.CheckConstraint("priority BETWEEN 1 AND 10", name="priority_range"),
    # Slot-aware release reads one account at a time, so the account leads, not the app.
    sa.Index(
        "emails_due",
        "account_id",
        sa.text("priority DESC"),
        "due_at",
        "id",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    ),
    sa.Index(
        "emails_campaign", "campaign_id", "id", postgresql_where=sa.text("campaign_id IS NOT NULL")
    ),
    sa.Index("emails_app", "app_id", "id"),
    sa.Index(
        "emails_recipient",
        "app_id",
        "to_hash",
        "id",
        postgresql_where=sa.text("message_id IS NOT NULL"),
    ),
    sa.Index("emails_batch", "batch_id", "id", postgresql_where=sa.text("batch_id IS NOT NULL")),
    postgresql_partition_by="RANGE (id)",
)

# A timeline is read by e-mail and lives as long as its mail: one key reads it.
email_events = sa.Table(
    "email_events",
    metadata,
    sa.Column("email_id", base.UUID, primary_key=True),
    sa.Column("id", base.UUID, primary_key=True),
    sa.Column("app_id", base.UUID, nullable=False),
    base.text("type"),
    base.json("data"),
    sa.Column("at", base.TIME, nullable=False, server_default=sa.text("now()")),
    # Finds the unknown mails without an index on what a claim or an outcome changes.
    sa.Index(
        "email_events_unknown",
        "app_id",
        "email_id",
        postgresql_where=sa.text("type = 'attempt' AND data ->> 'verdict' = 'unknown'"),
    ),
    postgresql_partition_by="RANGE (email_id)",
)

# How many mails of each end retention took away: the books go on without the rows. `kind` is a state,
# or "planned" where what asked for the mails is gone, too. `partition`: of a month under way.
retired_emails = sa.Table(
    "retired_emails",
    metadata,
    base.app_id(),
    sa.Column("campaign_id", base.UUID),
    sa.Column("batch_id", base.UUID),
    base.text("kind"),
    base.text("partition", default=""),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.UniqueConstraint(
        "app_id",
        "campaign_id",
        "batch_id",
        "kind",
        "partition",
        name="retired_emails_key",
        postgresql_nulls_not_distinct=True,
    ),
    sa.Index(
        "retired_emails_campaign_id",
        "campaign_id",
        postgresql_where=sa.text("campaign_id IS NOT NULL"),
    ),
    sa.Index(
        "retired_emails_batch_id", "batch_id", postgresql_where=sa.text("batch_id IS NOT NULL")
    ),
)

# The sweeper's ledger: what was released and how much of it is unfinished. Its payload is the
# assemble message, so that a lost message can be published again.
released_chunks = sa.Table(
    "released_chunks",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("account_id", "email_accounts", ondelete="CASCADE"),
    base.text("lane"),
    base.json("payload"),
    base.number("remaining"),
    base.number("republished", kind=sa.SmallInteger),
    sa.Column("touched_at", base.TIME, nullable=False, server_default=sa.text("now()")),
    base.created_at(),
    postgresql_with={"fillfactor": "70"} | base.turned_over(dead_rows=200, changes=1_000),
)

# Message bodies above 256 kB wait here; the message carries the id.
claim_checks = sa.Table(
    "claim_checks",
    metadata,
    base.key(),
    sa.Column("body", pg.BYTEA, nullable=False),
    base.created_at(),
)

tracking_links = sa.Table(
    "tracking_links",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("template_version_id", "template_versions"),
    base.number("position", kind=sa.SmallInteger),
    base.text("destination"),
    sa.UniqueConstraint("template_version_id", "position"),
)
