"""The tables of app/tables/tenancy.py: who uses the system and through what they send."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE apps (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'active',
    is_sandbox BOOLEAN NOT NULL DEFAULT false,
    keeps_content BOOLEAN NOT NULL DEFAULT false,
    settings JSONB NOT NULL DEFAULT '{}'::jsonb,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT apps_pkey PRIMARY KEY (id),
    CONSTRAINT apps_name_key UNIQUE (name),
    CONSTRAINT apps_status_known CHECK (status IN ('active', 'suspended'))
);

CREATE TABLE companies (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT companies_pkey PRIMARY KEY (id),
    CONSTRAINT companies_app_id_name_key UNIQUE (app_id, name),
    CONSTRAINT companies_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);

CREATE TABLE users (
    id UUID NOT NULL,
    app_id UUID,
    email TEXT NOT NULL,
    password_hash TEXT,
    role TEXT NOT NULL,
    totp_secret_sealed TEXT,
    totp_last_counter BIGINT,
    recovery_code_hashes TEXT[] NOT NULL DEFAULT '{}',
    disabled_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_email_key UNIQUE (email),
    CONSTRAINT users_role_known CHECK (role IN ('super_admin', 'admin', 'viewer')),
    CONSTRAINT users_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);

CREATE TABLE api_keys (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    key_id TEXT NOT NULL,
    name TEXT NOT NULL,
    secret_hash BYTEA NOT NULL,
    scopes TEXT[] NOT NULL DEFAULT '{}',
    allowed_networks CIDR[] NOT NULL DEFAULT '{}',
    expires_at TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_key_id_key UNIQUE (key_id),
    CONSTRAINT api_keys_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);

CREATE TABLE smtp_configs (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL DEFAULT 587,
    security TEXT NOT NULL DEFAULT 'starttls',
    username TEXT,
    password_sealed TEXT,
    connections SMALLINT NOT NULL DEFAULT 8,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT smtp_configs_pkey PRIMARY KEY (id),
    CONSTRAINT smtp_configs_app_id_name_key UNIQUE (app_id, name),
    CONSTRAINT smtp_configs_security_known CHECK (security IN ('none', 'starttls', 'tls')),
    CONSTRAINT smtp_configs_port_range CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT smtp_configs_connections_range CHECK (connections BETWEEN 1 AND 64),
    CONSTRAINT smtp_configs_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);

CREATE TABLE email_accounts (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    company_id UUID,
    smtp_config_id UUID NOT NULL,
    address TEXT NOT NULL,
    display_name TEXT NOT NULL DEFAULT '',
    reply_to TEXT,
    hourly_limit INTEGER,
    daily_limit INTEGER,
    min_gap_ms INTEGER NOT NULL DEFAULT 0,
    warmup_started_on DATE,
    warmup_daily_start INTEGER,
    warmup_growth NUMERIC(4, 2),
    status TEXT NOT NULL DEFAULT 'active',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT email_accounts_pkey PRIMARY KEY (id),
    CONSTRAINT email_accounts_app_id_address_key UNIQUE (app_id, address),
    CONSTRAINT email_accounts_status_known CHECK (status IN ('active', 'paused')),
    CONSTRAINT email_accounts_hourly_limit_positive CHECK (hourly_limit > 0),
    CONSTRAINT email_accounts_daily_limit_positive CHECK (daily_limit > 0),
    CONSTRAINT email_accounts_min_gap_not_negative CHECK (min_gap_ms >= 0),
    CONSTRAINT email_accounts_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT email_accounts_company_id_fkey FOREIGN KEY (company_id)
        REFERENCES companies (id) ON DELETE SET NULL,
    CONSTRAINT email_accounts_smtp_config_id_fkey FOREIGN KEY (smtp_config_id)
        REFERENCES smtp_configs (id)
);

CREATE TABLE queues (
    id UUID NOT NULL,
    app_id UUID NOT NULL,
    name TEXT NOT NULL,
    priority SMALLINT NOT NULL DEFAULT 5,
    per_minute INTEGER,
    retry_delays_s INTEGER[] NOT NULL DEFAULT '{30,120,600,3600}',
    max_deferral_age_s INTEGER,
    on_unknown TEXT NOT NULL DEFAULT 'hold',
    micro_batch SMALLINT NOT NULL DEFAULT 100,
    status TEXT NOT NULL DEFAULT 'active',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT queues_pkey PRIMARY KEY (id),
    CONSTRAINT queues_app_id_name_key UNIQUE (app_id, name),
    CONSTRAINT queues_on_unknown_known CHECK (on_unknown IN ('hold', 'resend', 'assume_sent')),
    CONSTRAINT queues_status_known CHECK (status IN ('active', 'paused', 'draining')),
    CONSTRAINT queues_priority_range CHECK (priority BETWEEN 1 AND 10),
    CONSTRAINT queues_per_minute_positive CHECK (per_minute > 0),
    CONSTRAINT queues_micro_batch_range CHECK (micro_batch BETWEEN 1 AND 1000),
    CONSTRAINT queues_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps (id) ON DELETE CASCADE
);
"""

DOWN = """
DROP TABLE
    queues, email_accounts, smtp_configs, api_keys, users, companies, apps;
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drop the tables and what is in them."""
    op.execute(DOWN)
