"""Test keys, limits and lines of rotated keys; what a login needs; the runs of recurring jobs."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE api_keys
    ADD COLUMN is_test boolean DEFAULT false NOT NULL,
    ADD COLUMN per_minute integer,
    ADD COLUMN replaced_by uuid,
    ADD CONSTRAINT api_keys_per_minute_positive CHECK (per_minute > 0),
    ADD CONSTRAINT api_keys_replaced_by_fkey FOREIGN KEY (replaced_by)
        REFERENCES api_keys(id) ON DELETE SET NULL;
CREATE INDEX api_keys_app_id_id ON api_keys (app_id, id);

ALTER TABLE users
    ADD COLUMN name text DEFAULT '' NOT NULL,
    ADD COLUMN last_login_at timestamp with time zone,
    ADD COLUMN password_changed_at timestamp with time zone;

CREATE INDEX scheduled_jobs_due ON scheduled_jobs (next_run_at) WHERE next_run_at IS NOT NULL;
CREATE TABLE scheduled_job_runs (
    id uuid NOT NULL,
    app_id uuid NOT NULL,
    job_id uuid NOT NULL,
    scheduled_for timestamp with time zone NOT NULL,
    trigger text NOT NULL,
    missed integer DEFAULT 0 NOT NULL,
    message_id uuid,
    error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT scheduled_job_runs_pkey PRIMARY KEY (id),
    CONSTRAINT scheduled_job_runs_job_id_scheduled_for_key UNIQUE (job_id, scheduled_for),
    CONSTRAINT scheduled_job_runs_trigger_known CHECK (trigger IN ('clock', 'person')),
    CONSTRAINT scheduled_job_runs_job_id_fkey FOREIGN KEY (job_id)
        REFERENCES scheduled_jobs(id) ON DELETE CASCADE,
    CONSTRAINT scheduled_job_runs_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps(id) ON DELETE CASCADE
);
ALTER TABLE scheduled_job_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE scheduled_job_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON scheduled_job_runs TO mailqueue_worker
    USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON scheduled_job_runs TO mailqueue_api
    USING (app_id = mailqueue_current_app()) WITH CHECK (app_id = mailqueue_current_app());
GRANT SELECT, INSERT, UPDATE, DELETE ON scheduled_job_runs TO mailqueue_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON scheduled_job_runs TO mailqueue_api;
"""

DOWN = """
DROP TABLE scheduled_job_runs;
DROP INDEX scheduled_jobs_due;
ALTER TABLE users
    DROP COLUMN password_changed_at, DROP COLUMN last_login_at, DROP COLUMN name;
DROP INDEX api_keys_app_id_id;
ALTER TABLE api_keys DROP COLUMN replaced_by, DROP COLUMN per_minute, DROP COLUMN is_test;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(UP)


def downgrade() -> None:
    """Take them away."""
    op.execute(DOWN)
