"""How senders stand and what follows; campaigns that are released in stages."""

from alembic import op

revision = "0027"
down_revision = "0023"
branch_labels = None
depends_on = None

_WALL = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON {table} TO mailqueue_worker USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON {table} TO mailqueue_api
    USING (app_id = mailqueue_current_app()) WITH CHECK (app_id = mailqueue_current_app());
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO mailqueue_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO mailqueue_api;
"""

# The old table was by day, and nobody wrote it.
UP = f"""
DROP TABLE app_reputation;
CREATE TABLE app_reputation (
    sender_id uuid NOT NULL,
    app_id uuid NOT NULL,
    level text DEFAULT 'good' NOT NULL,
    rule text,
    reason text,
    per_hour integer,
    rules smallint DEFAULT 0 NOT NULL,
    score smallint,
    figures jsonb DEFAULT '{{}}'::jsonb NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    judged_at timestamp with time zone DEFAULT now() NOT NULL,
    released_at timestamp with time zone,
    CONSTRAINT app_reputation_pkey PRIMARY KEY (sender_id),
    CONSTRAINT app_reputation_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT app_reputation_level_known
        CHECK (level IN ('good', 'warned', 'slowed', 'held')),
    CONSTRAINT app_reputation_slowed_has_a_pace
        CHECK ((level = 'slowed') = (per_hour IS NOT NULL)),
    CONSTRAINT app_reputation_rule_unless_good CHECK ((level = 'good') = (rule IS NULL))
);
CREATE INDEX app_reputation_app_id ON app_reputation (app_id);
{_WALL.format(table="app_reputation")}

CREATE TABLE campaign_stages (
    campaign_id uuid NOT NULL,
    app_id uuid NOT NULL,
    percent numeric(5, 2) NOT NULL,
    least integer NOT NULL,
    wait_s integer NOT NULL,
    phase text DEFAULT 'planned' NOT NULL,
    size integer,
    admitted integer DEFAULT 0 NOT NULL,
    watched_from timestamp with time zone,
    decided_at timestamp with time zone,
    reason text,
    CONSTRAINT campaign_stages_pkey PRIMARY KEY (campaign_id),
    CONSTRAINT campaign_stages_campaign_id_fkey FOREIGN KEY (campaign_id)
        REFERENCES campaigns (id) ON DELETE CASCADE,
    CONSTRAINT campaign_stages_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT campaign_stages_phase_known
        CHECK (phase IN ('planned', 'first', 'watched', 'open', 'braked')),
    CONSTRAINT campaign_stages_size_once_started CHECK ((phase = 'planned') = (size IS NULL)),
    CONSTRAINT campaign_stages_percent_range CHECK (percent > 0 AND percent < 100)
);
CREATE INDEX campaign_stages_moving ON campaign_stages (campaign_id)
    WHERE phase IN ('first', 'watched');
{_WALL.format(table="campaign_stages")}

ALTER TABLE webhook_events ALTER COLUMN email_id DROP NOT NULL;
"""

DOWN = f"""
DELETE FROM webhook_events WHERE email_id IS NULL;
ALTER TABLE webhook_events ALTER COLUMN email_id SET NOT NULL;
DROP TABLE campaign_stages;
DROP TABLE app_reputation;
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
{_WALL.format(table="app_reputation")}
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Take them away."""
    op.execute(DOWN)
