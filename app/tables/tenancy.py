"""Who uses the system and through what they send: apps, people, keys, servers, accounts, queues."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from app.tables import base
from app.tables.base import metadata

apps = sa.Table(
    "apps",
    metadata,
    base.key(),
    base.text("name"),
    base.text("status", default="active"),
    base.flag("is_sandbox"),
    base.flag("keeps_content"),
    base.json("settings"),
    base.created_at(),
    base.number("per_minute", None),
    base.number("daily_quota", None),
    base.number("monthly_quota", None),
    sa.UniqueConstraint("name"),
    base.one_of("status", ("active", "suspended")),
    sa.CheckConstraint("per_minute > 0", name="per_minute_positive"),
    sa.CheckConstraint("daily_quota > 0", name="daily_quota_positive"),
    sa.CheckConstraint("monthly_quota > 0", name="monthly_quota_positive"),
)

companies = sa.Table(
    "companies",
    metadata,
    base.key(),
    base.app_id(),
    base.text("name"),
    base.created_at(),
    sa.UniqueConstraint("app_id", "name"),
)

users = sa.Table(
    "users",
    metadata,
    base.key(),
    base.app_id(nullable=True),  # absent for a super_admin, who sees every app
    base.text("email"),
    base.text("password_hash", nullable=True),
    base.text("role"),
    base.text("totp_secret_sealed", nullable=True),
    base.number("totp_last_counter", None, kind=sa.BigInteger),
    base.texts("recovery_code_hashes"),
    base.time("disabled_at"),
    base.created_at(),
    base.text("name", default=""),
    base.time("last_login_at"),
    base.time("password_changed_at"),  # a token of before opens nothing
    sa.UniqueConstraint("email"),
    base.one_of("role", ("super_admin", "admin", "viewer")),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    base.key(),
    base.app_id(),
    base.text("key_id"),
    base.text("name"),
    sa.Column("secret_hash", base.HASH, nullable=False),
    base.texts("scopes"),
    sa.Column(
        "allowed_networks", pg.ARRAY(pg.CIDR), nullable=False, server_default=sa.text("'{}'")
    ),
    base.time("expires_at"),
    base.time("last_used_at"),
    base.time("revoked_at"),
    base.created_at(),
    base.flag("is_test"),
    base.number("per_minute", None),
    base.refers("replaced_by", "api_keys", nullable=True, ondelete="SET NULL"),
    sa.UniqueConstraint("key_id"),
    sa.CheckConstraint("per_minute > 0", name="per_minute_positive"),
    sa.Index(None, "app_id", "id"),
)

smtp_configs = sa.Table(
    "smtp_configs",
    metadata,
    base.key(),
    base.app_id(),
    base.text("name"),
    base.text("host"),
    base.number("port", 587),
    base.text("security", default="starttls"),
    base.text("username", nullable=True),
    base.text("password_sealed", nullable=True),
    base.number("connections", 8, kind=sa.SmallInteger),
    base.created_at(),
    sa.UniqueConstraint("app_id", "name"),
    base.one_of("security", ("none", "starttls", "tls")),
    sa.CheckConstraint("port BETWEEN 1 AND 65535", name="port_range"),
    sa.CheckConstraint("connections BETWEEN 1 AND 64", name="connections_range"),
)

# How an SMTP server behaves (app/smtp/breaker). No row = it never failed.
smtp_breakers = sa.Table(
    "smtp_breakers",
    metadata,
    sa.Column(
        "smtp_config_id",
        base.UUID,
        sa.ForeignKey("smtp_configs.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    base.app_id(),
    base.text("phase", default="closed"),
    base.number("failures"),
    base.number("successes", kind=sa.SmallInteger),
    base.time("probe_at"),
    base.text("reason", nullable=True),
    sa.Column("changed_at", base.TIME, nullable=False, server_default=sa.text("now()")),
    base.one_of("phase", ("closed", "open", "half_open")),
    sa.CheckConstraint("(phase = 'closed') = (probe_at IS NULL)", name="probe_while_not_closed"),
)

# A sender identity with its limits. Limits are NULL when nothing limits.
email_accounts = sa.Table(
    "email_accounts",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("company_id", "companies", nullable=True, ondelete="SET NULL"),
    base.refers("smtp_config_id", "smtp_configs", ondelete=None),
    base.text("address"),
    base.text("display_name", default=""),
    base.text("reply_to", nullable=True),
    base.number("hourly_limit", None),
    base.number("daily_limit", None),
    base.number("min_gap_ms", 0),
    sa.Column("warmup_started_on", sa.Date),
    base.number("warmup_daily_start", None),
    sa.Column("warmup_growth", sa.Numeric(4, 2)),
    base.text("status", default="active"),
    base.created_at(),
    base.flag("codes_replies"),  # Reply-To is an address of the inbound domain
    sa.UniqueConstraint("app_id", "address"),
    base.one_of("status", ("active", "paused")),
    sa.CheckConstraint("hourly_limit > 0", name="hourly_limit_positive"),
    sa.CheckConstraint("daily_limit > 0", name="daily_limit_positive"),
    sa.CheckConstraint("min_gap_ms >= 0", name="min_gap_not_negative"),
)

# Where an account's answers arrive, read over IMAP (app/inbound/mailboxes).
mailboxes = sa.Table(
    "mailboxes",
    metadata,
    sa.Column(
        "account_id",
        base.UUID,
        sa.ForeignKey("email_accounts.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    base.app_id(),
    base.text("host"),
    base.number("port", 993),
    base.text("security", default="tls"),
    base.text("username"),
    base.text("password_sealed"),
    base.text("folder", default="INBOX"),
    base.number("interval_s", 60),
    base.text("status", default="active"),
    base.created_at(),
    base.one_of("security", ("starttls", "tls")),
    base.one_of("status", ("active", "paused")),
    sa.CheckConstraint("port BETWEEN 1 AND 65535", name="port_range"),
    sa.CheckConstraint("interval_s BETWEEN 10 AND 86400", name="interval_range"),
)

queues = sa.Table(
    "queues",
    metadata,
    base.key(),
    base.app_id(),
    base.text("name"),
    base.number("priority", 5, kind=sa.SmallInteger),
    base.number("per_minute", None),
    sa.Column(
        "retry_delays_s",
        pg.ARRAY(sa.Integer),
        nullable=False,
        server_default=sa.text("'{30,120,600,3600}'"),
    ),
    # NULL: the delays above are all there is. Set: the last one repeats until a mail is this old.
    base.number("max_deferral_age_s", None),
    base.text("on_unknown", default="hold"),
    base.number("micro_batch", 100, kind=sa.SmallInteger),
    base.text("status", default="active"),
    base.created_at(),
    sa.UniqueConstraint("app_id", "name"),
    base.one_of("on_unknown", ("hold", "resend", "assume_sent")),
    base.one_of("status", ("active", "paused", "draining")),
    sa.CheckConstraint("priority BETWEEN 1 AND 10", name="priority_range"),
    sa.CheckConstraint("per_minute > 0", name="per_minute_positive"),
    sa.CheckConstraint("micro_batch BETWEEN 1 AND 1000", name="micro_batch_range"),
)

# Recipient domains that asked an app for a slower pace, and what a person wants instead.
domain_pacing = sa.Table(
    "domain_pacing",
    metadata,
    sa.Column("app_id", base.UUID, sa.ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("domain", sa.Text, primary_key=True),
    base.number("per_minute", None),
    base.number("connections", None),
    base.time("slowed_at"),
    base.text("last_reply", nullable=True),
    base.number("rules", kind=sa.SmallInteger),
    base.number("override_per_minute", None),
    base.number("override_connections", None),
    base.time("override_until"),
    sa.CheckConstraint("per_minute > 0", name="per_minute_positive"),
    sa.CheckConstraint(
        "override_per_minute > 0 AND coalesce(override_connections, 1) > 0",
        name="override_positive",
    ),
)
