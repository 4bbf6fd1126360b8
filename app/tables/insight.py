"""What it adds up to: counter deltas, folded rollups, reputation. Counters are never hot rows."""

import sqlalchemy as sa

from app.tables import base
from app.tables.base import metadata


def _dimensions() -> list[sa.Column[object]]:
    return [
        sa.Column("app_id", base.UUID, nullable=False),
        sa.Column("queue_id", base.UUID),
        sa.Column("campaign_id", base.UUID),
        sa.Column("step_id", base.UUID),
        sa.Column("account_id", base.UUID),
        base.text("kind"),
        base.number("n"),
    ]


# Appended by the transaction that changed the mails; folded and deleted by the clock.
email_stat_deltas = sa.Table(
    "email_stat_deltas",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    *_dimensions(),
    sa.Column("at", base.TIME, nullable=False, server_default=sa.text("now()")),
    postgresql_with=base.turned_over(dead_rows=5_000, changes=20_000),
)

email_stats = sa.Table(
    "email_stats",
    metadata,
    *_dimensions(),
    sa.Column("minute", base.TIME, nullable=False),
    sa.UniqueConstraint(
        "app_id",
        "minute",
        "kind",
        "queue_id",
        "campaign_id",
        "step_id",
        "account_id",
        name="email_stats_key",
        postgresql_nulls_not_distinct=True,
    ),
    sa.Index("email_stats_campaign_id", "campaign_id"),
)

# How each sender stands: an account, or the app itself (sender_id = app_id). No foreign key to both.
app_reputation = sa.Table(
    "app_reputation",
    metadata,
    sa.Column("sender_id", base.UUID, primary_key=True),
    base.app_id(),
    base.text("level", default="good"),
    base.text("rule", nullable=True),
    base.text("reason", nullable=True),
    base.number("per_hour", None),
    base.number("rules", kind=sa.SmallInteger),
    base.number("score", None, kind=sa.SmallInteger),
    base.json("figures"),
    sa.Column("changed_at", base.TIME, nullable=False, server_default=sa.text("now()")),
    sa.Column("judged_at", base.TIME, nullable=False, server_default=sa.text("now()")),
    base.time("released_at"),
    base.one_of("level", ("good", "warned", "slowed", "held")),
    sa.CheckConstraint("(level = 'slowed') = (per_hour IS NOT NULL)", name="slowed_has_a_pace"),
    sa.CheckConstraint("(level = 'good') = (rule IS NULL)", name="rule_unless_good"),
    sa.Index("app_reputation_app_id", "app_id"),
)
