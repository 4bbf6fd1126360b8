"""Settings: every environment variable of the system, typed, with its default and a sentence.

`.env.example` and the README's table are generated from this model (`mailqueue settings`), and a
test holds them in step.
"""

import functools
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import ConfigurationInvalid


class Settings(BaseSettings):
    """What a process is told from outside. Secrets never print themselves."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_prefix="MAILQUEUE_",
        extra="ignore",
        frozen=True,
    )

    database_url: str = Field(
        "postgresql://mailqueue:mailqueue@127.0.0.1:5432/mailqueue",
        validation_alias="DATABASE_URL",
        description="PostgreSQL 15-18, the truth.",
    )
    rabbitmq_url: str = Field(
        "amqp://mailqueue:mailqueue@127.0.0.1:5672/mailqueue",
        validation_alias="RABBITMQ_URL",
        description="RabbitMQ 3.10-4.x, the work queues.",
    )
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        validation_alias="REDIS_URL",
        description="Redis 7 or Valkey, rate counters only.",
    )

    sealing_keys: SecretStr = Field(
        SecretStr(""),
        description="AES-256-GCM keys for secrets at rest: `kid:base64,...`, the first one seals.",
    )
    tracking_keys: SecretStr = Field(
        SecretStr(""),
        description="Keys of tracking tokens, comma-separated, oldest first.",
    )
    address_pepper: SecretStr = Field(
        SecretStr(""),
        description="Keys the hash of addresses (suppression, logs). Never change it.",
    )
    api_key_pepper: SecretStr = Field(SecretStr(""), description="Keys the hash of API keys.")
    cron_secret: SecretStr = Field(
        SecretStr(""),
        description="Bearer secret of POST /api/cron/scheduler; empty closes it.",
    )

    admin_secret: SecretStr = Field(
        SecretStr(""),
        description="Bearer secret of the operator, a super_admin without account; empty closes it.",
    )
    jwt_keys: SecretStr = Field(
        SecretStr(""),
        description="Keys that sign people's tokens, comma-separated, oldest first.",
    )
    api_per_minute: int = Field(
        6_000, ge=1, description="Requests a minute of a key without a limit of its own."
    )

    tracking_url: str = Field(
        "http://127.0.0.1:8001",
        description="Public base URL of pixel, click and unsubscribe links.",
    )
    web_host: str = Field("127.0.0.1", description="Where `mailqueue web` listens.")
    web_port: int = Field(8000, description="Port of `mailqueue web`.")
    tracking_host: str = Field("127.0.0.1", description="Where `mailqueue tracking` listens.")
    tracking_port: int = Field(8001, description="Port of `mailqueue tracking`.")
    trusted_proxies: str = Field(
        "",
        description="Networks whose X-Forwarded-For is believed, comma-separated CIDR.",
    )
    inbox_host: str = Field("127.0.0.1", description="Where the development inbox listens.")
    inbox_smtp_port: int = Field(1025, description="SMTP port of the development inbox.")
    inbox_http_port: int = Field(8025, description="Web page of the development inbox.")

    inbound_domain: str = Field(
        "",
        description="Domain of return paths, reply and unsubscribe addresses (docs/inbound.md); "
        "empty: mail is sent with the account's own address and nothing comes back here.",
    )
    inbound_complaints: str = Field(
        "",
        description="Address registered with feedback loops, such as fbl@bounces.example.com: "
        "`mailqueue inbound` takes their reports there.",
    )
    inbound_host: str = Field("127.0.0.1", description="Where `mailqueue inbound` listens.")
    inbound_port: int = Field(2525, description="SMTP port of `mailqueue inbound`.")
    inbound_max_bytes: int = Field(
        26_214_400, ge=65_536, description="Largest mail `mailqueue inbound` takes."
    )
    inbound_per_minute: int = Field(
        6_000, ge=1, description="Mails a minute one peer may hand to `mailqueue inbound`."
    )

    state_dir: Path = Field(
        Path(".local/state"),
        description="Local disk for attempt journals and the tracking spool; must survive restarts.",
    )
    archive_dir: Path = Field(
        Path(".local/archive"),
        description="Folder of archived months (docs/retention.md); the same for all workers, backed up.",
    )
    backup_days: int = Field(
        30,
        ge=0,
        description="Days your backups of the database are kept; named in the receipt of an erasure.",
    )
    worker_processes: int = Field(2, description="Dramatiq worker processes under `mailqueue up`.")
    worker_threads: int = Field(
        4, ge=1, description="Threads in each worker process; one stays free of any slow server."
    )
    clock_interval_ms: int = Field(500, ge=50, description="Time between two scheduling passes.")
    in_flight_limit: int = Field(
        20_000,
        ge=1,
        description="E-mails released but not finished, at most, over all apps.",
    )
    release_batch: int = Field(4_000, ge=1, description="E-mails one release statement takes.")
    chunk_size: int = Field(200, ge=1, le=1_000, description="E-mails one message carries.")
    global_per_minute: int = Field(
        0, ge=0, description="E-mails a minute, at most, over all apps; 0 is no limit."
    )
    reputation_least_mails: int = Field(
        100,
        ge=1,
        description="Mails in a window, at least, before a sender is judged by its rates.",
    )
    complaints_warn: float = Field(
        0.001, gt=0, le=1, description="Share of complaints at which a sender is warned."
    )
    complaints_hold: float = Field(
        0.003, gt=0, le=1, description="Share of complaints at which its mail is held."
    )
    bounces_warn: float = Field(
        0.02, gt=0, le=1, description="Share of bounces at which a sender is warned."
    )
    bounces_slow: float = Field(
        0.05, gt=0, le=1, description="Share of bounces at which it is slowed; more at 2x and 4x."
    )
    blocks_slow: float = Field(
        0.01, gt=0, le=1, description="Share of mails refused for their sender that slows it."
    )
    smtp_allowed_networks: str = Field(
        "",
        description="Networks SMTP hosts may be in besides public ones, comma-separated CIDR "
        "(development: 127.0.0.0/8).",
    )
    webhook_allowed_networks: str = Field(
        "",
        description="Networks webhooks may be in besides public ones, over http and https on any "
        "port, comma-separated CIDR (development: 127.0.0.0/8).",
    )
    webhook_plain_http: bool = Field(
        False,
        description="Whether webhooks may also be spoken to over http on port 80.",
    )
    default_smtp_url: str = Field(
        "",
        description="SMTP server of apps made over the API, such as smtp://127.0.0.1:1025; "
        "smtps:// is TLS, smtp+starttls:// STARTTLS; empty is none.",
    )
    helo_name: str = Field("localhost", description="Name said in EHLO; your host's public name.")
    log_level: str = Field("info", description="debug, info, warning or error.")
    log_format: str = Field("console", description="console for people, json for machines.")


def require_secrets(found: Settings) -> None:
    """Raise ConfigurationInvalid naming the first secret that mail cannot be sent without."""
    for name in ("sealing_keys", "tracking_keys", "address_pepper"):
        if not getattr(found, name).get_secret_value():
            raise ConfigurationInvalid(
                f"MAILQUEUE_{name.upper()} is not set.",
                why="Passwords, links or the suppression list would be wrong without it.",
                fix="Run `mailqueue init`, or set it as on the other hosts.",
                field=name,
            )


@functools.cache
def settings() -> Settings:
    """Return the process's settings, read once; raises ConfigurationInvalid naming the variable."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        raise ConfigurationInvalid(
            f"Setting {name} cannot be used.",
            why=first["msg"] + ".",
            fix="See .env.example for every setting and its default.",
            field=name,
        ) from error
