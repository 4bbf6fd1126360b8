"""The tables of app/tables/feedback.py: suppressed addresses and inbound mail."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE suppression_list (
    id UUID NOT NULL,
    app_id UUID,
    email_hash BYTEA NOT NULL,
    email TEXT,
    reason TEXT NOT NULL,
    source TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT suppression_list_pkey PRIMARY KEY (id),
    CONSTRAINT suppression_list_key UNIQUE NULLS NOT DISTINCT (email_hash, app_id),
    CONSTRAINT suppression_list_reason_known
        CHECK (reason IN ('hard_bounce', 'soft_bounces', 'complaint', 'unsubscribe', 'manual')),
    CONSTRAINT suppression_list_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);

CREATE TABLE inbound_messages (
    id UUID NOT NULL,
    app_id UUID,
    email_id UUID,
    kind TEXT NOT NULL,
    return_path TEXT NOT NULL DEFAULT '',
    recipient TEXT NOT NULL,
    subject TEXT,
    message_id_header TEXT,
    classification JSONB NOT NULL DEFAULT '{}'::jsonb,
    status TEXT NOT NULL DEFAULT 'received',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT inbound_messages_pkey PRIMARY KEY (id),
    CONSTRAINT inbound_messages_kind_known
        CHECK (kind IN ('bounce', 'complaint', 'reply', 'unsubscribe', 'other')),
    CONSTRAINT inbound_messages_status_known
        CHECK (status IN ('received', 'processed', 'ignored', 'failed')),
    CONSTRAINT inbound_messages_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);
CREATE INDEX inbound_messages_email_id ON inbound_messages (email_id);

CREATE TABLE inbox_message_content (
    ref_id UUID NOT NULL,
    app_id UUID,
    raw BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT inbox_message_content_pkey PRIMARY KEY (ref_id),
    CONSTRAINT inbox_message_content_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);
"""

DOWN = """
DROP TABLE
    inbox_message_content, inbound_messages, suppression_list;
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drop the tables and what is in them."""
    op.execute(DOWN)
