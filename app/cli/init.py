"""`mailqueue init`: a .env with fresh secrets, readable by its owner only."""

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from app.cli.output import Command, printer
from app.cli.settings_file import env_file
from app.errors import Conflict


def fresh_secrets() -> dict[str, str]:
    """Return a new value for every secret, and the URLs of the compose file's services."""
    postgres, rabbitmq = secrets.token_hex(16), secrets.token_hex(16)
    return {
        "POSTGRES_PASSWORD": postgres,
        "RABBITMQ_PASSWORD": rabbitmq,
        "DATABASE_URL": f"postgresql://mailqueue:{postgres}@127.0.0.1:5432/mailqueue",
        "RABBITMQ_URL": f"amqp://mailqueue:{rabbitmq}@127.0.0.1:5672/mailqueue",
        "MAILQUEUE_SEALING_KEYS": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "MAILQUEUE_TRACKING_KEYS": secrets.token_urlsafe(32),
        "MAILQUEUE_ADDRESS_PEPPER": secrets.token_urlsafe(32),
        "MAILQUEUE_API_KEY_PEPPER": secrets.token_urlsafe(32),
        "MAILQUEUE_CRON_SECRET": secrets.token_urlsafe(32),
        "MAILQUEUE_ADMIN_SECRET": secrets.token_urlsafe(32),
        "MAILQUEUE_JWT_KEYS": secrets.token_urlsafe(32),
    }


def write_new(path: Path, content: str) -> None:
    """Create `path` with mode 0600; raises Conflict when it exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(
            f"{path} exists and was left as it is.",
            why="It may hold the only copy of keys that seal passwords and sign links.",
            fix="Move it away, or say --force to keep it as a backup and write a new one.",
        ) from error
    with os.fdopen(descriptor, "w") as file:
        file.write(content)


def set_aside(path: Path) -> Path | None:
    """Rename an existing file to a backup beside it; return the backup, None without a file."""
    if not path.exists():
        return None
    backup = next(
        candidate
        for number in range(1, 10_000)
        if not (candidate := path.with_name(f"{path.name}.{number}.bak")).exists()
    )
    path.rename(backup)
    return backup


@click.command(cls=Command)
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(".env"),
    show_default=True,
    help="Where to write.",
)
@click.option("--force", is_flag=True, help="Rename an existing file to .bak and write a new one.")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="Also set this variable.")
def init(path: Path, force: bool, given: tuple[str, ...]) -> None:  # noqa: FBT001 - a flag of the command line
    """Write .env with fresh secrets; an existing one is never overwritten."""
    values = fresh_secrets() | dict(_assignment(text) for text in given)
    backup = set_aside(path) if force else None
    write_new(path, env_file(values))
    result = {
        "file": str(path),
        "secrets": sorted(fresh_secrets()),
        "backup": str(backup) if backup else None,
    }
    printer().show(result, _rendered)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--set")
    return name, value


def _rendered(result: Mapping[str, Any]) -> Text:
    kept = f" The old file is {result['backup']}." if result["backup"] else ""
    return Text(
        f"Wrote {result['file']} with fresh secrets, readable by you only.{kept}\n"
        "With Docker: docker compose up -d --wait. With your own PostgreSQL, RabbitMQ and Redis: "
        "set their URLs in it, then mailqueue doctor."
    )
