"""Limits of apps, and the pace of recipient domains (app/tables/tenancy.py)."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE apps
    ADD COLUMN per_minute INTEGER,
    ADD COLUMN daily_quota INTEGER,
    ADD COLUMN monthly_quota INTEGER,
    ADD CONSTRAINT apps_per_minute_positive CHECK (per_minute > 0),
    ADD CONSTRAINT apps_daily_quota_positive CHECK (daily_quota > 0),
    ADD CONSTRAINT apps_monthly_quota_positive CHECK (monthly_quota > 0);

CREATE TABLE domain_pacing (
    app_id UUID NOT NULL,
    domain TEXT NOT NULL,
    per_minute INTEGER,
    connections INTEGER,
    slowed_at TIMESTAMPTZ,
    last_reply TEXT,
    rules SMALLINT NOT NULL DEFAULT 0,
    override_per_minute INTEGER,
    override_connections INTEGER,
    override_until TIMESTAMPTZ,
    CONSTRAINT domain_pacing_pkey PRIMARY KEY (app_id, domain),
    CONSTRAINT domain_pacing_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT domain_pacing_per_minute_positive CHECK (per_minute > 0),
    CONSTRAINT domain_pacing_override_positive
        CHECK (override_per_minute > 0 AND coalesce(override_connections, 1) > 0)
);
ALTER TABLE domain_pacing ENABLE ROW LEVEL SECURITY;
ALTER TABLE domain_pacing FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON domain_pacing TO mailqueue_worker
    USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON domain_pacing TO mailqueue_api
    USING (app_id = mailqueue_current_app()) WITH CHECK (app_id = mailqueue_current_app());
GRANT SELECT, INSERT, UPDATE, DELETE ON domain_pacing TO mailqueue_worker, mailqueue_api;
"""

DOWN = """
DROP TABLE domain_pacing;
ALTER TABLE apps DROP COLUMN per_minute, DROP COLUMN daily_quota, DROP COLUMN monthly_quota;
"""


def upgrade() -> None:
    """Add the columns and the table."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them and what is in them."""
    op.execute(DOWN)
