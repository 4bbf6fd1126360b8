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

app_reputation = sa.Table(
    "app_reputation",
    metadata,
    sa.Column("app_id", base.UUID, sa.ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    base.number("sent"),
    base.number("hard_bounces"),
    base.number("complaints"),
    base.number("unsubscribes"),
    sa.Column("score", sa.Numeric(5, 2)),
)
