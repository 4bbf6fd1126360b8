"""The tables of app/tables/operations.py: jobs, webhooks, audit, dead letters, erasure."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE scheduled_jobs (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    name TEXT NOT NULL,
    cron TEXT NOT NULL,
    timezone TEXT NOT NULL DEFAULT 'UTC',
    action JSONB NOT NULL DEFAULT '{}'::jsonb,
    is_enabled BOOLEAN NOT NULL DEFAULT true,
    next_run_at TIMESTAMPTZ,
    last_run_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT scheduled_jobs_pkey PRIMARY KEY (id),
    CONSTRAINT scheduled_jobs_app_id_name_key UNIQUE (app_id, name),
    CONSTRAINT scheduled_jobs_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);

CREATE TABLE webhook_endpoints (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    url TEXT NOT NULL,
    secret_sealed TEXT NOT NULL,
    events TEXT[] NOT NULL DEFAULT '{}',
    status TEXT NOT NULL DEFAULT 'active',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_endpoints_status_known CHECK (status IN ('active', 'paused', 'disabled')),
    CONSTRAINT webhook_endpoints_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);

CREATE TABLE webhook_deliveries (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    event TEXT NOT NULL,
    payload JSONB NOT NULL DEFAULT '{}'::jsonb,
    status TEXT NOT NULL DEFAULT 'pending',
    attempts SMALLINT NOT NULL DEFAULT 0,
    response_code SMALLINT,
    error TEXT,
    due_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_deliveries_status_known
        CHECK (status IN ('pending', 'delivered', 'failed')),
    CONSTRAINT webhook_deliveries_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT webhook_deliveries_endpoint_id_fkey FOREIGN KEY (endpoint_id)
        REFERENCES webhook_endpoints (id) ON DELETE CASCADE
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE audit_logs (
    id UUID NOT NULL,
    app_id UUID,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_id TEXT NOT NULL,
    origin TEXT,
    before JSONB,
    after JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT audit_logs_pkey PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX audit_logs_app_id_id ON audit_logs (app_id, id);

CREATE TABLE idempotency_keys (
    app_id UUID NOT NULL,
    key TEXT NOT NULL,
    request_hash BYTEA NOT NULL,
    response_status SMALLINT,
    response_body JSONB,
    expires_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (app_id, key),
    CONSTRAINT idempotency_keys_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);
CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at);

CREATE TABLE dead_letters (
    id UUID NOT NULL,
    app_id UUID,
    queue TEXT NOT NULL,
    actor TEXT,
    message JSONB NOT NULL DEFAULT '{}'::jsonb,
    error_class TEXT NOT NULL,
    error TEXT NOT NULL,
    traceback TEXT,
    fingerprint TEXT NOT NULL,
    attempts SMALLINT NOT NULL DEFAULT 0,
    request_id TEXT,
    failed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    status TEXT NOT NULL DEFAULT 'open',
    resolved_at TIMESTAMPTZ,
    resolved_by TEXT,
    reason TEXT,
    CONSTRAINT dead_letters_pkey PRIMARY KEY (id),
    CONSTRAINT dead_letters_status_known CHECK (status IN ('open', 'retried', 'discarded')),
    CONSTRAINT dead_letters_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);
CREATE INDEX dead_letters_app_id_status_fingerprint ON dead_letters (app_id, status, fingerprint);

CREATE TABLE gdpr_requests (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    kind TEXT NOT NULL,
    email_hash BYTEA NOT NULL,
    status TEXT NOT NULL DEFAULT 'open',
    receipt JSONB,
    finished_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT gdpr_requests_pkey PRIMARY KEY (id),
    CONSTRAINT gdpr_requests_kind_known CHECK (kind IN ('export', 'erase')),
    CONSTRAINT gdpr_requests_status_known CHECK (status IN ('open', 'running', 'done', 'failed')),
    CONSTRAINT gdpr_requests_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);
"""

DOWN = """
DROP TABLE
    gdpr_requests, dead_letters, idempotency_keys, audit_logs, webhook_deliveries,
    webhook_endpoints, scheduled_jobs;
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drop the tables and what is in them."""
    op.execute(DOWN)
