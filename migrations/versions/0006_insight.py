"""The tables of app/tables/insight.py: counter deltas, rollups, reputation."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE email_stat_deltas (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    app_id UUID NOT NULL,
    queue_id UUID,
    campaign_id UUID,
    step_id UUID,
    account_id UUID,
    kind TEXT NOT NULL,
    n INTEGER NOT NULL DEFAULT 0,
    at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT email_stat_deltas_pkey PRIMARY KEY (id)
);

CREATE TABLE email_stats (
    app_id UUID NOT NULL,
    queue_id UUID,
    campaign_id UUID,
    step_id UUID,
    account_id UUID,
    kind TEXT NOT NULL,
    n INTEGER NOT NULL DEFAULT 0,
    minute TIMESTAMPTZ NOT NULL,
    CONSTRAINT email_stats_key
        UNIQUE NULLS NOT DISTINCT (app_id, minute, kind, queue_id, campaign_id, step_id, account_id)
);
CREATE INDEX email_stats_campaign_id ON email_stats (campaign_id);

CREATE TABLE app_reputation (
    app_id UUID NOT NULL,
    day DATE NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    hard_bounces INTEGER NOT NULL DEFAULT 0,
    complaints INTEGER NOT NULL DEFAULT 0,
    unsubscribes INTEGER NOT NULL DEFAULT 0,
    score NUMERIC(5, 2),
    CONSTRAINT app_reputation_pkey PRIMARY KEY (app_id, day),
    CONSTRAINT app_reputation_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);
"""

DOWN = """
DROP TABLE
    app_reputation, email_stats, email_stat_deltas;
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drop the tables and what is in them."""
    op.execute(DOWN)
