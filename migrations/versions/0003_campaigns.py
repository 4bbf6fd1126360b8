"""The tables of app/tables/campaigns.py: templates, leads, campaigns, steps, enrolments."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE templates (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT templates_pkey PRIMARY KEY (id),
    CONSTRAINT templates_app_id_name_key UNIQUE (app_id, name),
    CONSTRAINT templates_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);

CREATE TABLE template_versions (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    template_id UUID,
    version INTEGER NOT NULL DEFAULT 1,
    subject TEXT NOT NULL,
    html TEXT NOT NULL DEFAULT '',
    body_text TEXT NOT NULL DEFAULT '',
    variables TEXT[] NOT NULL DEFAULT '{}',
    content_hash BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT template_versions_pkey PRIMARY KEY (id),
    CONSTRAINT template_versions_template_id_version_key UNIQUE (template_id, version),
    CONSTRAINT template_versions_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT template_versions_template_id_fkey FOREIGN KEY (template_id)
        REFERENCES templates (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX template_versions_one_off ON template_versions (app_id, content_hash)
    WHERE template_id IS NULL;

CREATE TABLE leads (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    company_id UUID,
    email TEXT NOT NULL,
    email_hash BYTEA NOT NULL,
    timezone TEXT,
    variables JSONB NOT NULL DEFAULT '{}'::jsonb,
    status TEXT NOT NULL DEFAULT 'active',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT leads_pkey PRIMARY KEY (id),
    CONSTRAINT leads_app_id_email_key UNIQUE (app_id, email),
    CONSTRAINT leads_status_known
        CHECK (status IN ('active', 'unsubscribed', 'bounced', 'complained')),
    CONSTRAINT leads_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT leads_company_id_fkey FOREIGN KEY (company_id)
        REFERENCES companies (id) ON DELETE SET NULL
);
CREATE INDEX leads_app_id_email_hash ON leads (app_id, email_hash);

CREATE TABLE campaigns (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    company_id UUID,
    queue_id UUID NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'draft',
    scheduled_at TIMESTAMPTZ,
    timezone TEXT NOT NULL DEFAULT 'UTC',
    uses_lead_timezone BOOLEAN NOT NULL DEFAULT true,
    window_days SMALLINT[] NOT NULL DEFAULT '{1,2,3,4,5,6,7}',
    window_start TIME WITHOUT TIME ZONE,
    window_end TIME WITHOUT TIME ZONE,
    priority SMALLINT NOT NULL DEFAULT 5,
    tracks_opens BOOLEAN NOT NULL DEFAULT true,
    tracks_clicks BOOLEAN NOT NULL DEFAULT true,
    audience JSONB NOT NULL DEFAULT '{}',
    forecast JSONB,
    forecast_at_start JSONB,
    started_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT campaigns_pkey PRIMARY KEY (id),
    CONSTRAINT campaigns_app_id_name_key UNIQUE (app_id, name),
    CONSTRAINT campaigns_status_known
        CHECK (status IN ('draft', 'scheduled', 'running', 'paused', 'finished', 'cancelled')),
    CONSTRAINT campaigns_priority_range CHECK (priority BETWEEN 1 AND 10),
    CONSTRAINT campaigns_window_whole
        CHECK ((window_start IS NULL) = (window_end IS NULL) AND window_start <> window_end),
    CONSTRAINT campaigns_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT campaigns_company_id_fkey FOREIGN KEY (company_id)
        REFERENCES companies (id) ON DELETE SET NULL,
    CONSTRAINT campaigns_queue_id_fkey FOREIGN KEY (queue_id)
        REFERENCES queues (id)
);

CREATE TABLE campaign_accounts (
    campaign_id UUID NOT NULL,
    account_id UUID NOT NULL,
    app_id UUID NOT NULL,
    position SMALLINT NOT NULL DEFAULT 0,
    CONSTRAINT campaign_accounts_pkey PRIMARY KEY (campaign_id, account_id),
    CONSTRAINT campaign_accounts_campaign_id_fkey FOREIGN KEY (campaign_id)
        REFERENCES campaigns (id) ON DELETE CASCADE,
    CONSTRAINT campaign_accounts_account_id_fkey FOREIGN KEY (account_id)
        REFERENCES email_accounts (id),
    CONSTRAINT campaign_accounts_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);

CREATE TABLE campaign_sequence_steps (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    campaign_id UUID NOT NULL,
    position SMALLINT NOT NULL DEFAULT 1,
    wait_duration_hours NUMERIC(10, 4) NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT campaign_sequence_steps_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_sequence_steps_campaign_id_position_key UNIQUE (campaign_id, position),
    CONSTRAINT campaign_sequence_steps_position_positive CHECK (position >= 1),
    CONSTRAINT campaign_sequence_steps_wait_not_negative CHECK (wait_duration_hours >= 0),
    CONSTRAINT campaign_sequence_steps_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT campaign_sequence_steps_campaign_id_fkey FOREIGN KEY (campaign_id)
        REFERENCES campaigns (id) ON DELETE CASCADE
);

CREATE TABLE campaign_step_variants (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    step_id UUID NOT NULL,
    template_version_id UUID NOT NULL,
    weight SMALLINT NOT NULL DEFAULT 1,
    CONSTRAINT campaign_step_variants_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_step_variants_weight_positive CHECK (weight > 0),
    CONSTRAINT campaign_step_variants_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT campaign_step_variants_step_id_fkey FOREIGN KEY (step_id)
        REFERENCES campaign_sequence_steps (id) ON DELETE CASCADE,
    CONSTRAINT campaign_step_variants_template_version_id_fkey FOREIGN KEY (template_version_id)
        REFERENCES template_versions (id)
);
CREATE INDEX campaign_step_variants_step_id ON campaign_step_variants (step_id);

CREATE TABLE enrolments (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    campaign_id UUID NOT NULL,
    lead_id UUID NOT NULL,
    account_id UUID NOT NULL,
    status TEXT NOT NULL DEFAULT 'active',
    stop_reason TEXT,
    steps_planned SMALLINT NOT NULL DEFAULT 0,
    last_email_id UUID,
    due_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT enrolments_pkey PRIMARY KEY (id),
    CONSTRAINT enrolments_campaign_id_lead_id_key UNIQUE (campaign_id, lead_id),
    CONSTRAINT enrolments_status_known CHECK (status IN ('active', 'finished', 'stopped')),
    CONSTRAINT enrolments_due_only_active CHECK (due_at IS NULL OR status = 'active'),
    CONSTRAINT enrolments_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT enrolments_campaign_id_fkey FOREIGN KEY (campaign_id)
        REFERENCES campaigns (id) ON DELETE CASCADE,
    CONSTRAINT enrolments_lead_id_fkey FOREIGN KEY (lead_id)
        REFERENCES leads (id) ON DELETE CASCADE,
    CONSTRAINT enrolments_account_id_fkey FOREIGN KEY (account_id)
        REFERENCES email_accounts (id)
) WITH (fillfactor = 85);
CREATE INDEX enrolments_due ON enrolments (campaign_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX enrolments_lead_id ON enrolments (lead_id);
"""

DOWN = """
DROP TABLE
    enrolments, campaign_step_variants, campaign_sequence_steps, campaign_accounts,
    campaigns, leads, template_versions, templates;
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drop the tables and what is in them."""
    op.execute(DOWN)
