"""What a submitted message carries besides its content: addressing, attachments, tracking, sandbox.

`addressing` = {"from_name": text or null, "reply_to": [address], "to": [{"email", "name"}],
"cc": [...]}: To and Cc as every recipient sees them. Recipients of a blind copy are e-mails of the
message that stand in neither; an empty "to" means that each mail names its own recipient.
"""

from alembic import op

revision = "0017"
down_revision = "0013"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE messages
    ADD COLUMN addressing jsonb DEFAULT '{}'::jsonb NOT NULL,
    ADD COLUMN tracks_opens boolean,
    ADD COLUMN tracks_clicks boolean,
    ADD COLUMN is_simulated boolean DEFAULT false NOT NULL,
    ADD COLUMN unsubscribe boolean DEFAULT false NOT NULL,
    ADD COLUMN idempotency_key text;

CREATE TABLE message_attachments (
    message_id uuid NOT NULL,
    position smallint NOT NULL,
    app_id uuid NOT NULL,
    attachment_id uuid NOT NULL,
    filename text NOT NULL,
    content_id text,
    is_inline boolean DEFAULT false NOT NULL,
    CONSTRAINT message_attachments_pkey PRIMARY KEY (message_id, position),
    CONSTRAINT message_attachments_message_id_fkey FOREIGN KEY (message_id)
        REFERENCES messages(id) ON DELETE CASCADE,
    CONSTRAINT message_attachments_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps(id) ON DELETE CASCADE,
    CONSTRAINT message_attachments_attachment_id_fkey FOREIGN KEY (attachment_id)
        REFERENCES attachments(id),
    CONSTRAINT message_attachments_inline_is_named CHECK (NOT is_inline OR content_id IS NOT NULL)
);
CREATE INDEX message_attachments_attachment_id ON message_attachments (attachment_id);
ALTER TABLE message_attachments ENABLE ROW LEVEL SECURITY;
ALTER TABLE message_attachments FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON message_attachments TO mailqueue_worker
    USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON message_attachments TO mailqueue_api
    USING (app_id = mailqueue_current_app()) WITH CHECK (app_id = mailqueue_current_app());
GRANT SELECT, INSERT, UPDATE, DELETE ON message_attachments TO mailqueue_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON message_attachments TO mailqueue_api;
"""

DOWN = """
DROP TABLE message_attachments;
ALTER TABLE messages
    DROP COLUMN addressing, DROP COLUMN tracks_opens, DROP COLUMN tracks_clicks,
    DROP COLUMN is_simulated, DROP COLUMN unsubscribe, DROP COLUMN idempotency_key;
"""


def upgrade() -> None:
    """Add the columns and the table."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them."""
    op.execute(DOWN)
