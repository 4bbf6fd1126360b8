"""The tables of app/tables/emails.py: contents, batches, e-mails, timelines, released chunks."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE messages (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    template_version_id UUID NOT NULL,
    headers JSONB NOT NULL DEFAULT '{}'::jsonb,
    tags TEXT[] NOT NULL DEFAULT '{}',
    metadata JSONB NOT NULL DEFAULT '{}'::jsonb,
    recipients INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT messages_pkey PRIMARY KEY (id),
    CONSTRAINT messages_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT messages_template_version_id_fkey FOREIGN KEY (template_version_id)
        REFERENCES template_versions (id)
);

CREATE TABLE attachments (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    content_hash BYTEA NOT NULL,
    content_type TEXT NOT NULL,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    content BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT attachments_pkey PRIMARY KEY (id),
    CONSTRAINT attachments_app_id_content_hash_key UNIQUE (app_id, content_hash),
    CONSTRAINT attachments_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);

CREATE TABLE batches (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    message_id UUID,
    status TEXT NOT NULL DEFAULT 'accepted',
    accepted INTEGER NOT NULL DEFAULT 0,
    expanded INTEGER NOT NULL DEFAULT 0,
    body_compressed BYTEA,
    rejected JSONB NOT NULL DEFAULT '[]'::jsonb,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT batches_pkey PRIMARY KEY (id),
    CONSTRAINT batches_status_known
        CHECK (status IN ('accepted', 'expanding', 'expanded', 'failed')),
    CONSTRAINT batches_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT batches_message_id_fkey FOREIGN KEY (message_id)
        REFERENCES messages (id) ON DELETE SET NULL
);

CREATE TABLE emails (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    company_id UUID,
    queue_id UUID NOT NULL,
    account_id UUID NOT NULL,
    template_version_id UUID NOT NULL,
    campaign_id UUID,
    step_id UUID,
    enrolment_id UUID,
    lead_id UUID,
    batch_id UUID,
    message_id UUID,
    to_email TEXT NOT NULL,
    to_name TEXT,
    to_domain TEXT NOT NULL,
    to_hash BYTEA NOT NULL,
    variables JSONB NOT NULL DEFAULT '{}'::jsonb,
    priority SMALLINT NOT NULL DEFAULT 5,
    status TEXT NOT NULL DEFAULT 'scheduled',
    reason TEXT,
    due_at TIMESTAMPTZ,
    window_closes_at TIMESTAMPTZ,
    expires_at TIMESTAMPTZ,
    attempt SMALLINT NOT NULL DEFAULT 0,
    starts SMALLINT NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    lease_until TIMESTAMPTZ,
    claimed_by TEXT,
    queued_at TIMESTAMPTZ,
    claimed_at TIMESTAMPTZ,
    sent_at TIMESTAMPTZ,
    smtp_code SMALLINT,
    request_id TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT emails_pkey PRIMARY KEY (id),
    CONSTRAINT emails_status_known CHECK (status IN (
        'scheduled', 'queued', 'sending', 'sent', 'delivered', 'bounced', 'complained', 'failed',
        'unknown', 'cancelled', 'suppressed', 'expired'
    )),
    CONSTRAINT emails_due_while_scheduled CHECK ((status = 'scheduled') = (due_at IS NOT NULL)),
    CONSTRAINT emails_priority_range CHECK (priority BETWEEN 1 AND 10)
) PARTITION BY RANGE (id);
CREATE INDEX emails_campaign ON emails (campaign_id, id) WHERE campaign_id IS NOT NULL;
CREATE INDEX emails_due ON emails (account_id, priority DESC, due_at, id) WHERE due_at IS NOT NULL;

CREATE TABLE email_events (
    email_id UUID NOT NULL,
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    type TEXT NOT NULL,
    data JSONB NOT NULL DEFAULT '{}'::jsonb,
    at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT email_events_pkey PRIMARY KEY (email_id, id)
) PARTITION BY RANGE (email_id);

CREATE TABLE released_chunks (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    account_id UUID NOT NULL,
    lane TEXT NOT NULL,
    payload JSONB NOT NULL DEFAULT '{}'::jsonb,
    remaining INTEGER NOT NULL DEFAULT 0,
    republished SMALLINT NOT NULL DEFAULT 0,
    touched_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT released_chunks_pkey PRIMARY KEY (id),
    CONSTRAINT released_chunks_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT released_chunks_account_id_fkey FOREIGN KEY (account_id)
        REFERENCES email_accounts (id) ON DELETE CASCADE
) WITH (fillfactor = 70);

CREATE TABLE claim_checks (
    id UUID NOT NULL,
    body BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT claim_checks_pkey PRIMARY KEY (id)
);

CREATE TABLE tracking_links (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    template_version_id UUID NOT NULL,
    position SMALLINT NOT NULL DEFAULT 0,
    destination TEXT NOT NULL,
    CONSTRAINT tracking_links_pkey PRIMARY KEY (id),
    CONSTRAINT tracking_links_template_version_id_position_key
        UNIQUE (template_version_id, position),
    CONSTRAINT tracking_links_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT tracking_links_template_version_id_fkey FOREIGN KEY (template_version_id)
        REFERENCES template_versions (id) ON DELETE CASCADE
);
"""

DOWN = """
DROP TABLE
    tracking_links, claim_checks, released_chunks, email_events, emails, batches,
    attachments, messages;
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drop the tables and what is in them."""
    op.execute(DOWN)
