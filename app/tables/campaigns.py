"""What is sent to whom and when: templates, leads, campaigns, steps, enrolments."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from app.tables import base
from app.tables.base import metadata

templates = sa.Table(
    "templates",
    metadata,
    base.key(),
    base.app_id(),
    base.text("name"),
    base.created_at(),
    sa.UniqueConstraint("app_id", "name"),
)

# Immutable. A one-off body (transactional HTML) is a version without template, keyed by its hash.
template_versions = sa.Table(
    "template_versions",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("template_id", "templates", nullable=True),
    base.number("version", 1),
    base.text("subject"),
    base.text("html", default=""),
    base.text("body_text", default=""),
    base.texts("variables"),
    sa.Column("content_hash", base.HASH, nullable=False),
    base.created_at(),
    sa.UniqueConstraint("template_id", "version"),
    sa.Index(
        "template_versions_one_off",
        "app_id",
        "content_hash",
        unique=True,
        postgresql_where=sa.text("template_id IS NULL"),
    ),
    # One-off bodies that are not blank (app/assembly/expiry).
    sa.Index(
        "template_versions_whole",
        "app_id",
        "id",
        postgresql_where=sa.text("template_id IS NULL AND octet_length(content_hash) > 16"),
    ),
)

# `variables` holds every column of the import, as given; first_name and timezone are lifted out.
leads = sa.Table(
    "leads",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("company_id", "companies", nullable=True, ondelete="SET NULL"),
    base.text("email"),
    sa.Column("email_hash", base.HASH, nullable=False),
    base.text("timezone", nullable=True),
    base.json("variables"),
    base.text("status", default="active"),
    base.created_at(),
    sa.UniqueConstraint("app_id", "email"),
    base.one_of("status", ("active", "unsubscribed", "bounced", "complained")),
    sa.Index("leads_app_id_email_hash", "app_id", "email_hash"),
    sa.Index("leads_app_id_id", "app_id", "id"),
)

campaigns = sa.Table(
    "campaigns",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("company_id", "companies", nullable=True, ondelete="SET NULL"),
    base.refers("queue_id", "queues", ondelete=None),
    base.text("name"),
    base.text("status", default="draft"),
    base.time("scheduled_at"),
    base.text("timezone", default="UTC"),
    base.flag("uses_lead_timezone", "true"),
    # ISO days 1 (Monday) to 7; the window is [start, end) in local wall time; empty = always open.
    sa.Column(
        "window_days",
        pg.ARRAY(sa.SmallInteger),
        nullable=False,
        server_default=sa.text("'{1,2,3,4,5,6,7}'"),
    ),
    sa.Column("window_start", sa.Time),
    sa.Column("window_end", sa.Time),
    base.number("priority", 5, kind=sa.SmallInteger),
    base.flag("tracks_opens", "true"),
    base.flag("tracks_clicks", "true"),
    base.json("audience"),  # leads whose variables contain this; {} = every lead of the app
    base.json("forecast", None),
    base.json("forecast_at_start", None),
    base.time("started_at"),
    base.time("finished_at"),
    base.created_at(),
    sa.UniqueConstraint("app_id", "name"),
    base.one_of("status", ("draft", "scheduled", "running", "paused", "finished", "cancelled")),
    sa.CheckConstraint("priority BETWEEN 1 AND 10", name="priority_range"),
    sa.CheckConstraint(
        "(window_start IS NULL) = (window_end IS NULL) AND window_start <> window_end",
        name="window_whole",
    ),
)

# The accounts a campaign rotates over; a lead keeps the one it was given (sticky).
campaign_accounts = sa.Table(
    "campaign_accounts",
    metadata,
    sa.Column(
        "campaign_id",
        base.UUID,
        sa.ForeignKey("campaigns.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column(
        "account_id",
        base.UUID,
        sa.ForeignKey("email_accounts.id", ondelete=None),
        primary_key=True,
    ),
    base.app_id(),
    base.number("position", kind=sa.SmallInteger),
)

# Only campaigns that are released in stages have a row: the first few per cent go, then it is seen.
campaign_stages = sa.Table(
    "campaign_stages",
    metadata,
    sa.Column(
        "campaign_id",
        base.UUID,
        sa.ForeignKey("campaigns.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    base.app_id(),
    sa.Column("percent", sa.Numeric(5, 2), nullable=False),
    sa.Column("least", sa.Integer, nullable=False),
    sa.Column("wait_s", sa.Integer, nullable=False),
    base.text("phase", default="planned"),
    base.number("size", None),
    base.number("admitted"),
    base.time("watched_from"),
    base.time("decided_at"),
    base.text("reason", nullable=True),
    base.one_of("phase", ("planned", "first", "watched", "open", "braked")),
    sa.CheckConstraint("(phase = 'planned') = (size IS NULL)", name="size_once_started"),
    sa.CheckConstraint("percent > 0 AND percent < 100", name="percent_range"),
    sa.Index(
        "campaign_stages_moving",
        "campaign_id",
        postgresql_where=sa.text("phase IN ('first', 'watched')"),
    ),
)

campaign_sequence_steps = sa.Table(
    "campaign_sequence_steps",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("campaign_id", "campaigns"),
    base.number("position", 1, kind=sa.SmallInteger),
    sa.Column(
        "wait_duration_hours", sa.Numeric(10, 4), nullable=False, server_default=sa.text("0")
    ),
    base.created_at(),
    sa.UniqueConstraint("campaign_id", "position"),
    sa.CheckConstraint("position >= 1", name="position_positive"),
    sa.CheckConstraint("wait_duration_hours >= 0", name="wait_not_negative"),
)

# A step's content is its variants: one, or several with weights.
campaign_step_variants = sa.Table(
    "campaign_step_variants",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("step_id", "campaign_sequence_steps"),
    base.refers("template_version_id", "template_versions", ondelete=None),
    base.number("weight", 1, kind=sa.SmallInteger),
    sa.CheckConstraint("weight > 0", name="weight_positive"),
    sa.Index("campaign_step_variants_step_id", "step_id"),
)

# A lead's way through a campaign. due_at is set exactly while a next step is to be planned:
# the planner's index reads it. steps_planned counts the e-mails made: the ledger's "planned";
# `repeated` of them were made once more, so the next step is steps_planned - repeated.
enrolments = sa.Table(
    "enrolments",
    metadata,
    base.key(),
    base.app_id(),
    base.refers("campaign_id", "campaigns"),
    base.refers("lead_id", "leads"),
    base.refers("account_id", "email_accounts", ondelete=None),
    base.text("status", default="active"),
    base.text("stop_reason", nullable=True),
    base.number("steps_planned", kind=sa.SmallInteger),
    base.number("repeated", kind=sa.SmallInteger),
    sa.Column("last_email_id", base.UUID),
    base.time("due_at"),
    base.created_at(),
    sa.UniqueConstraint("campaign_id", "lead_id"),
    base.one_of("status", ("active", "finished", "stopped")),
    sa.CheckConstraint("due_at IS NULL OR status = 'active'", name="due_only_active"),
    sa.Index(
        "enrolments_due", "campaign_id", "due_at", postgresql_where=sa.text("due_at IS NOT NULL")
    ),
    sa.Index("enrolments_lead_id", "lead_id"),
    postgresql_with={
        "fillfactor": "85",
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_analyze_scale_factor": "0.02",
        "autovacuum_vacuum_insert_scale_factor": "0.05",
    },
)
