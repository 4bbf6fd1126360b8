"""The settings as a file to copy and as a table to read, both made from the model. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.config import Settings

_HEAD = """\
# Every setting of Mailqueue with its default, made by `mailqueue settings --write`.
# `mailqueue init` writes .env from this with fresh secrets.
"""

_COMPOSE = """\
# Passwords of the services in docker-compose.yml; nothing else reads them.
POSTGRES_PASSWORD={postgres}
RABBITMQ_PASSWORD={rabbitmq}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable: its default as text, and what it is for."""

    name: str
    default: str
    about: str
    is_secret: bool


def variables() -> Iterator[Variable]:
    """Yield every variable in the order of the model."""
    prefix = Settings.model_config["env_prefix"]
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        yield Variable(
            name=alias if isinstance(alias, str) else f"{prefix}{name}".upper(),
            default=_as_text(field.default),
            about=field.description or "",
            is_secret=isinstance(field.default, SecretStr),
        )


def example() -> str:
    """Return the text of .env.example."""
    return env_file({})


def env_file(values: Mapping[str, str]) -> str:
    """Return an env file with `values` in place of the defaults they name."""
    blocks = [
        f"# {found.about}\n{found.name}={_quoted(values.get(found.name, found.default))}\n"
        for found in variables()
    ]
    compose = _COMPOSE.format(
        postgres=values.get("POSTGRES_PASSWORD", ""), rabbitmq=values.get("RABBITMQ_PASSWORD", "")
    )
    return "\n".join([_HEAD, *blocks, compose])


def markdown_table() -> str:
    """Return the README's table of settings."""
    rows = [
        f"| `{found.name}` | {_cell(found)} | {found.about.replace('|', '/')} |"
        for found in variables()
    ]
    return "\n".join(["| variable | default | what it is |", "|---|---|---|", *rows]) + "\n"


def replace_table(readme: str) -> str:
    """Return `readme` with the table between its two marks made anew; raises ValueError."""
    before, start, rest = readme.partition("<!-- settings -->\n")
    _, end, after = rest.partition("<!-- /settings -->")
    if not start or not end:
        message = "README.md has lost its marks <!-- settings --> and <!-- /settings -->."
        raise ValueError(message)
    return f"{before}{start}{markdown_table()}{end}{after}"


def _as_text(default: Any) -> str:
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, bool):
        return str(default).lower()
    return default.as_posix() if isinstance(default, Path) else str(default)


def _quoted(value: str) -> str:
    return f'"{value}"' if any(character in value for character in ' #"') else value


def _cell(found: Variable) -> str:
    if found.is_secret:
        return "*secret*"
    return f"`{found.default}`" if found.default else "*empty*"
