"""One family of errors; every refusal says what happened, why, and what to do.

MailqueueError                  code            meaning
|- ConfigurationInvalid         config_invalid  a setting is missing or wrong
|- InputInvalid                 input_invalid   what a person or program gave us cannot be used
|  |- TemplateInvalid           template_invalid  a template is refused, with its lines
|  |- Unrenderable              unrenderable    one mail cannot be written from its template
|  |  '- MissingVariables       missing_variables  it lacks the named variables
|  '- MessageMalformed          message_malformed a RabbitMQ message breaks its schema
|- NotFound                     not_found       the named thing does not exist (in this app)
|- Unauthorized                 unauthorized    the caller did not prove who it is
|- Forbidden                    forbidden       the caller may not do this
|- RateLimited                  rate_limited    the caller asks too often
|- Conflict                     conflict        the state of the thing forbids it
|  |- IdempotencyKeyReused      idempotency_key_reused  the key came with another request
|  '- RequestInFlight           request_in_flight  the same request is not answered yet
|- DependencyUnavailable        dependency_unavailable  PostgreSQL, RabbitMQ, Redis or SMTP away
|  '- PublishUnconfirmed        publish_unconfirmed  RabbitMQ did not confirm
|- SealBroken                   seal_broken     a sealed secret cannot be opened
'- LedgerOff                    ledger_off      the books do not add up
"""

from dataclasses import dataclass
from typing import ClassVar


class MailqueueError(Exception):
    """An error a person reads: what happened, why, and what to do about it.

    `field` names the offending field, column or line when there is one.
    """

    code: ClassVar[str] = "error"

    def __init__(
        self, what: str, *, why: str = "", fix: str = "", field: str | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.field = field

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.fix) if part)


class ConfigurationInvalid(MailqueueError):
    """A setting is missing or wrong."""

    code = "config_invalid"


class InputInvalid(MailqueueError):
    """What a person or program gave us cannot be used."""

    code = "input_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateProblem:
    """One reason why a template is refused; `part` is subject, html or text, `line` starts at 1."""

    part: str
    line: int
    what: str
    fix: str = ""


class TemplateInvalid(InputInvalid):
    """A template is refused; `problems` names every line."""

    code = "template_invalid"

    def __init__(self, problems: tuple[TemplateProblem, ...]) -> None:
        self.problems = problems
        listed = "; ".join(f"{p.part} line {p.line}: {p.what} {p.fix}".strip() for p in problems)
        super().__init__("The template was not saved.", why=listed, field=problems[0].part)


class Unrenderable(InputInvalid):
    """One mail cannot be written from its template and variables: permanent for this mail."""

    code = "unrenderable"


class MissingVariables(Unrenderable):
    """A mail lacks variables its template prints without a default; `names` has all of them."""

    code = "missing_variables"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        super().__init__(
            f"No value for {', '.join(names)}.",
            why="The template prints it and gives no default.",
            fix=f"Give the lead a value, or write {{{{ {names[0]} | default('...') }}}}.",
            field=names[0],
        )


class MessageMalformed(InputInvalid):
    """A RabbitMQ message breaks its schema: permanent, never retried."""

    code = "message_malformed"


class NotFound(MailqueueError):
    """The named thing does not exist in this app."""

    code = "not_found"


class Unauthorized(MailqueueError):
    """The caller did not prove who it is."""

    code = "unauthorized"


class Forbidden(MailqueueError):
    """The caller may not do this."""

    code = "forbidden"


class RateLimited(MailqueueError):
    """The caller asks too often."""

    code = "rate_limited"


class Conflict(MailqueueError):
    """The state of the thing forbids what was asked."""

    code = "conflict"


class IdempotencyKeyReused(Conflict):
    """An idempotency key came before with another request."""

    code = "idempotency_key_reused"


class RequestInFlight(Conflict):
    """The same request is under way: its answer can be had in a moment."""

    code = "request_in_flight"


class DependencyUnavailable(MailqueueError):
    """PostgreSQL, RabbitMQ, Redis or an SMTP server is away: worth a retry."""

    code = "dependency_unavailable"


class PublishUnconfirmed(DependencyUnavailable):
    """RabbitMQ did not confirm a publish: the rows stay, the sweeper publishes again."""

    code = "publish_unconfirmed"


class SealBroken(MailqueueError):
    """A sealed secret cannot be opened: wrong key, wrong row, or changed bytes."""

    code = "seal_broken"


class LedgerOff(MailqueueError):
    """The books do not add up."""

    code = "ledger_off"
