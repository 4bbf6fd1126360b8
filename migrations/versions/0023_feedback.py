"""What comes back is worked off once: retries of a job, soft bounces by address, coded replies."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE inbound_messages ADD COLUMN republished SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE inbound_messages ADD COLUMN touched_at TIMESTAMPTZ NOT NULL DEFAULT now();
CREATE INDEX inbound_messages_open ON inbound_messages (touched_at) WHERE status = 'received';
CREATE INDEX inbound_messages_app_id_id ON inbound_messages (app_id, id);

ALTER TABLE email_accounts ADD COLUMN codes_replies BOOLEAN NOT NULL DEFAULT false;

CREATE TABLE soft_bounces (
    app_id UUID NOT NULL,
    email_hash BYTEA NOT NULL,
    email_id UUID NOT NULL,
    at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT soft_bounces_pkey PRIMARY KEY (app_id, email_hash, email_id),
    CONSTRAINT soft_bounces_app_id_fkey FOREIGN KEY (app_id) REFERENCES apps (id) ON DELETE CASCADE
);
ALTER TABLE soft_bounces ENABLE ROW LEVEL SECURITY;
ALTER TABLE soft_bounces FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON soft_bounces TO mailqueue_worker USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON soft_bounces TO mailqueue_api
    USING (app_id = mailqueue_current_app()) WITH CHECK (app_id = mailqueue_current_app());
GRANT SELECT, INSERT, UPDATE, DELETE ON soft_bounces TO mailqueue_worker;
GRANT SELECT ON soft_bounces TO mailqueue_api;
"""

DOWN = """
DROP TABLE soft_bounces;
ALTER TABLE email_accounts DROP COLUMN codes_replies;
DROP INDEX inbound_messages_app_id_id;
DROP INDEX inbound_messages_open;
ALTER TABLE inbound_messages DROP COLUMN touched_at;
ALTER TABLE inbound_messages DROP COLUMN republished;
"""


def upgrade() -> None:
    """Add the columns and the table."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them and what is in them."""
    op.execute(DOWN)
