"""The environment of the application's processes: `.env`, generated secrets, this stack's ports."""

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from infra.local.places import ROOT, Place
from infra.local.ports import LOOPBACK

ENV_FILE = ROOT / ".env"


def read_env_file(path: Path = ENV_FILE) -> dict[str, str]:
    """Return the variables of a `.env` file; comments and blank lines are skipped."""
    if not path.exists():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def throwaway_secrets() -> dict[str, str]:
    """Return fresh secrets for a stack that is thrown away with everything they sealed."""
    return {
        "MAILQUEUE_SEALING_KEYS": f"local:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "MAILQUEUE_TRACKING_KEYS": secrets.token_urlsafe(32),
        "MAILQUEUE_ADDRESS_PEPPER": secrets.token_urlsafe(32),
        "MAILQUEUE_API_KEY_PEPPER": secrets.token_urlsafe(32),
        "MAILQUEUE_CRON_SECRET": secrets.token_urlsafe(32),
        "MAILQUEUE_ADMIN_SECRET": secrets.token_urlsafe(32),
        "MAILQUEUE_JWT_KEYS": secrets.token_urlsafe(32),
    }


def addresses(place: Place, ports: Mapping[str, int]) -> dict[str, str]:
    """Return where this stack's own processes listen and keep their state."""
    return {
        "MAILQUEUE_WEB_HOST": LOOPBACK,
        "MAILQUEUE_WEB_PORT": str(ports["web"]),
        "MAILQUEUE_TRACKING_HOST": LOOPBACK,
        "MAILQUEUE_TRACKING_PORT": str(ports["tracking"]),
        "MAILQUEUE_TRACKING_URL": f"http://{LOOPBACK}:{ports['tracking']}",
        "MAILQUEUE_INBOX_HOST": LOOPBACK,
        "MAILQUEUE_INBOX_SMTP_PORT": str(ports["inbox_smtp"]),
        "MAILQUEUE_INBOX_HTTP_PORT": str(ports["inbox_http"]),
        "MAILQUEUE_INBOUND_DOMAIN": "bounces.localhost",
        "MAILQUEUE_INBOUND_HOST": LOOPBACK,
        "MAILQUEUE_INBOUND_PORT": str(ports["inbound"]),
        "MAILQUEUE_SMTP_ALLOWED_NETWORKS": "127.0.0.0/8",
        "MAILQUEUE_DEFAULT_SMTP_URL": f"smtp://{LOOPBACK}:{ports['inbox_smtp']}",
        "MAILQUEUE_STATE_DIR": str(place.state),
        "MAILQUEUE_ARCHIVE_DIR": str(place.state.parent / "archive"),
    }


def ours(*layers: Mapping[str, str]) -> dict[str, str]:
    """Return our own environment with these layers on top, the last one strongest."""
    merged = dict(os.environ)
    for layer in layers:
        merged.update(layer)
    return merged
