"""What comes back: suppressed addresses, inbound mail, what providers tell."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from app.tables import base
from app.tables.base import metadata

# Matched by keyed hash, so an erased address stays suppressed. app_id NULL = for every app.
suppression_list = sa.Table(
    "suppression_list",
    metadata,
    base.key(),
    base.app_id(nullable=True),
    sa.Column("email_hash", base.HASH, nullable=False),
    base.text("email", nullable=True),
    base.text("reason"),
    base.text("source", nullable=True),
    base.time("expires_at"),
    base.created_at(),
    sa.Index("suppression_list_app_id_id", "app_id", "id"),
    sa.UniqueConstraint(
        "email_hash", "app_id", name="suppression_list_key", postgresql_nulls_not_distinct=True
    ),
    base.one_of("reason", ("hard_bounce", "soft_bounces", "complaint", "unsubscribe", "manual")),
)

_PROVIDERS = ("ses", "postmark", "sendgrid", "mailgun")

# Where mail providers tell their events: POST /v1/provider-events/<token>.
provider_hooks = sa.Table(
    "provider_hooks",
    metadata,
    base.key(),
    base.app_id(),
    base.text("provider"),
    base.text("description", default=""),
    base.text("token"),
    base.text("secret_sealed"),
    base.created_at(),
    sa.UniqueConstraint("token"),
    base.one_of("provider", _PROVIDERS),
    sa.Index("provider_hooks_app_id_id", "app_id", "id"),
)

inbound_messages = sa.Table(
    "inbound_messages",
    metadata,
    base.key(),
    base.app_id(nullable=True),
    sa.Column("email_id", base.UUID),
    base.text("kind"),
    base.text("return_path", default=""),
    base.text("recipient"),
    base.text("subject", nullable=True),
    base.text("message_id_header", nullable=True),
    base.json("classification"),
    base.text("status", default="received"),
    base.created_at(),
    base.one_of("kind", ("bounce", "complaint", "reply", "unsubscribe", "other")),
    base.number("republished", kind=sa.SmallInteger),
    sa.Column("touched_at", base.TIME, nullable=False, server_default=sa.text("now()")),
    sa.Column("account_id", base.UUID),  # whose mailbox it was found in; none: it came by SMTP
    base.one_of("status", ("received", "processed", "ignored", "failed")),
    base.text("provider", nullable=True),  # who told it; NULL: it came as a mail
    base.text("event_key", nullable=True),
    base.one_of("provider", _PROVIDERS),
    sa.CheckConstraint("(provider IS NULL) = (event_key IS NULL)", name="event_of_provider"),
    sa.Index(
        "inbound_messages_event",
        "app_id",
        "provider",
        "event_key",
        unique=True,
        postgresql_where=sa.text("provider IS NOT NULL"),
    ),
    sa.Index("inbound_messages_email_id", "email_id"),
    sa.Index(
        "inbound_messages_open", "touched_at", postgresql_where=sa.text("status = 'received'")
    ),
    sa.Index("inbound_messages_app_id_id", "app_id", "id"),
)

# How far a mailbox was read, and how that went. No row = it was never looked into.
mailbox_states = sa.Table(
    "mailbox_states",
    metadata,
    sa.Column(
        "account_id",
        base.UUID,
        sa.ForeignKey("mailboxes.account_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    base.app_id(),
    base.text("place", default=""),  # the UIDs are those of this login and folder
    base.number("uid_validity", None, kind=sa.BigInteger),
    base.number("last_uid", kind=sa.BigInteger),
    sa.Column("due_at", base.TIME, nullable=False, server_default=sa.text("now()")),
    base.time("lease_until"),
    base.time("read_at"),
    base.number("failures"),
    base.time("failing_since"),
    base.text("failed_step", nullable=True),
    base.text("problem", nullable=True),
    sa.CheckConstraint(
        "(failures > 0) = (failing_since IS NOT NULL)"
        " AND (failures > 0) = (failed_step IS NOT NULL)",
        name="failing",
    ),
)

# One row per mail that bounced softly: what is counted until the address is suppressed.
soft_bounces = sa.Table(
    "soft_bounces",
    metadata,
    sa.Column("app_id", base.UUID, sa.ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("email_hash", base.HASH, primary_key=True),
    sa.Column("email_id", base.UUID, primary_key=True),
    sa.Column("at", base.TIME, nullable=False, server_default=sa.text("now()")),
)

inbox_message_content = sa.Table(
    "inbox_message_content",
    metadata,
    sa.Column("ref_id", base.UUID, primary_key=True),  # an e-mail's or an inbound message's id
    base.app_id(nullable=True),
    sa.Column("raw", pg.BYTEA, nullable=False),
    base.created_at(),
    sa.Index("inbox_message_content_app_id", "app_id", "ref_id"),
)
