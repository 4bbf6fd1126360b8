"""What a caller may do: the scopes of API keys, and the scopes a person's role stands for. Pure."""

from collections.abc import Iterable
from enum import StrEnum

from app.errors import Forbidden, InputInvalid


class Scope(StrEnum):
    """One permission of an API key; `admin` holds all of them, inside its own app."""

    EMAIL_SEND = "email:send"
    EMAIL_READ = "email:read"
    QUEUE_MANAGE = "queue:manage"
    SMTP_MANAGE = "smtp:manage"
    ANALYTICS_READ = "analytics:read"
    SUPPRESSION_MANAGE = "suppression:manage"
    CAMPAIGN_MANAGE = "campaign:manage"  # campaigns, leads and templates
    WEBHOOK_MANAGE = "webhook:manage"
    GDPR_MANAGE = "gdpr:manage"
    AUDIT_READ = "audit:read"
    ADMIN = "admin"


class Role(StrEnum):
    """What a person is: of every app, of one app, or of one app for reading only."""

    SUPER_ADMIN = "super_admin"
    ADMIN = "admin"
    VIEWER = "viewer"


ALL_SCOPES = frozenset(Scope)

_VIEWER = frozenset({Scope.EMAIL_READ, Scope.ANALYTICS_READ, Scope.AUDIT_READ})
_BY_ROLE = {Role.SUPER_ADMIN: ALL_SCOPES, Role.ADMIN: ALL_SCOPES, Role.VIEWER: _VIEWER}


def of_role(role: Role) -> frozenset[Scope]:
    """Return what a role may do."""
    return _BY_ROLE[role]


def effective(granted: Iterable[Scope]) -> frozenset[Scope]:
    """Return every scope that the granted ones hold."""
    found = frozenset(granted)
    return ALL_SCOPES if Scope.ADMIN in found else found


def parse(names: Iterable[str]) -> tuple[Scope, ...]:
    """Return the scopes of these names, sorted, each once; raises InputInvalid (field scopes)."""
    wanted = set(names)
    unknown = sorted(wanted - set(Scope))
    if unknown or not wanted:
        raise InputInvalid(
            f"There is no scope {unknown[0]!r}." if unknown else "A key needs a scope.",
            why=f"There are: {', '.join(Scope)}.",
            field="scopes",
        )
    return tuple(Scope(name) for name in sorted(wanted))


def require_grantable(held: frozenset[Scope], wanted: Iterable[Scope]) -> None:
    """Raise Forbidden when somebody would hand out more than they hold."""
    missing = effective(wanted) - effective(held)
    if missing:
        raise Forbidden(
            "A key cannot be given more than its maker may do.",
            why=f"You do not hold: {', '.join(sorted(missing))}.",
            fix="Leave these scopes out, or ask somebody who holds them.",
            field="scopes",
        )
