"""Mailboxes of accounts whose answers arrive elsewhere, how far each was read, and by whom now."""

from alembic import op

revision = "0028"
down_revision = "0026"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE mailboxes (
    account_id UUID NOT NULL,
    app_id UUID NOT NULL,
    host TEXT NOT NULL,
    port INTEGER DEFAULT 993 NOT NULL,
    security TEXT DEFAULT 'tls' NOT NULL,
    username TEXT NOT NULL,
    password_sealed TEXT NOT NULL,
    folder TEXT DEFAULT 'INBOX' NOT NULL,
    interval_s INTEGER DEFAULT 60 NOT NULL,
    status TEXT DEFAULT 'active' NOT NULL,
    created_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    CONSTRAINT mailboxes_pkey PRIMARY KEY (account_id),
    CONSTRAINT mailboxes_account_id_fkey
        FOREIGN KEY (account_id) REFERENCES email_accounts (id) ON DELETE CASCADE,
    CONSTRAINT mailboxes_app_id_fkey FOREIGN KEY (app_id) REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT mailboxes_security_known CHECK (security IN ('starttls', 'tls')),
    CONSTRAINT mailboxes_status_known CHECK (status IN ('active', 'paused')),
    CONSTRAINT mailboxes_port_range CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT mailboxes_interval_range CHECK (interval_s BETWEEN 10 AND 86400)
);
CREATE TABLE mailbox_states (
    account_id UUID NOT NULL,
    app_id UUID NOT NULL,
    place TEXT DEFAULT '' NOT NULL,
    uid_validity BIGINT,
    last_uid BIGINT DEFAULT 0 NOT NULL,
    due_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    lease_until TIMESTAMPTZ,
    read_at TIMESTAMPTZ,
    failures INTEGER DEFAULT 0 NOT NULL,
    failing_since TIMESTAMPTZ,
    failed_step TEXT,
    problem TEXT,
    CONSTRAINT mailbox_states_pkey PRIMARY KEY (account_id),
    CONSTRAINT mailbox_states_account_id_fkey
        FOREIGN KEY (account_id) REFERENCES mailboxes (account_id) ON DELETE CASCADE,
    CONSTRAINT mailbox_states_app_id_fkey
        FOREIGN KEY (app_id) REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT mailbox_states_failing
        CHECK ((failures > 0) = (failing_since IS NOT NULL)
               AND (failures > 0) = (failed_step IS NOT NULL))
);
ALTER TABLE mailboxes ENABLE ROW LEVEL SECURITY;
ALTER TABLE mailboxes FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON mailboxes TO mailqueue_worker USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON mailboxes TO mailqueue_api
    USING (app_id = mailqueue_current_app()) WITH CHECK (app_id = mailqueue_current_app());
GRANT SELECT, INSERT, UPDATE, DELETE ON mailboxes TO mailqueue_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON mailboxes TO mailqueue_api;
ALTER TABLE mailbox_states ENABLE ROW LEVEL SECURITY;
ALTER TABLE mailbox_states FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON mailbox_states TO mailqueue_worker USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON mailbox_states TO mailqueue_api
    USING (app_id = mailqueue_current_app()) WITH CHECK (app_id = mailqueue_current_app());
GRANT SELECT, INSERT, UPDATE, DELETE ON mailbox_states TO mailqueue_worker;
GRANT SELECT ON mailbox_states TO mailqueue_api;

ALTER TABLE inbound_messages ADD COLUMN account_id UUID;
"""

DOWN = """
ALTER TABLE inbound_messages DROP COLUMN account_id;
DROP TABLE mailbox_states;
DROP TABLE mailboxes;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them and what is in them."""
    op.execute(DOWN)
