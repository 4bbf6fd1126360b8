"""campaign.yaml: what a person writes to describe a campaign, checked with file, line and remedy."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, NoReturn, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from app.errors import InputInvalid
from app.mail.address import normalise
from app.scheduling.calendar import EVERY_DAY, Window, zone_named

MAX_SIZE = 1_000_000

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

# Raised for our own sentences; pydantic puts "Value error, " in front, taken off again below.
_PREFIX = "Value error, "


def _day(value: Any) -> Any:
    """Read a day as 1-7 or by its first three letters."""
    name = str(value).strip().casefold()
    if name[:3] in _DAYS:
        return _DAYS.index(name[:3]) + 1
    if name not in {"1", "2", "3", "4", "5", "6", "7"}:
        raise ValueError(f"'{value}' is no day: write mon to sun, or 1 to 7.")
    return int(name)


def _clock(value: Any) -> Any:
    """Read 9:00 as 09:00."""
    return f"0{value}" if isinstance(value, str) and value.find(":") == 1 else value


def _audience(value: Any) -> Any:
    return None if value == "all" else value


def _zone(name: str) -> str:
    try:
        return zone_named(name).key
    except InputInvalid as error:
        raise ValueError(str(error)) from error


def _address(text: str) -> str:
    try:
        return normalise(text)
    except InputInvalid as error:
        raise ValueError(str(error)) from error


Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S(.*\S)?$")]
Day = Annotated[int, BeforeValidator(_day), Field(ge=1, le=7)]
Clock = Annotated[dt.time, BeforeValidator(_clock)]
Hours = Annotated[Decimal, Field(ge=0, le=100_000, decimal_places=4)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WindowPart(_Part):
    """When mails may go: local hours [start, end) of the days on which they begin."""

    days: frozenset[Day] = Field(EVERY_DAY, min_length=1)
    start: Clock | None = None
    end: Clock | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if any(time and time.tzinfo for time in (self.start, self.end)):
            raise ValueError("Times are local: leave out the timezone.")
        try:
            self.as_window()
        except InputInvalid as error:
            raise ValueError(str(error)) from error
        return self

    def as_window(self) -> Window:
        """Return the window the calendar works with."""
        return Window(days=self.days, start=self.start, end=self.end)


class VariantPart(_Part):
    """One content of a step; `version` None is the latest when the campaign is created."""

    template: Name
    version: int | None = Field(None, ge=1)
    weight: int = Field(1, ge=1, le=1_000)


class StepPart(_Part):
    """One mail of the sequence, `wait_duration_hours` after the one before was sent."""

    template: Name | None = None
    version: int | None = Field(None, ge=1)
    wait_duration_hours: Hours = Decimal(0)
    variants: tuple[VariantPart, ...] = Field((), max_length=20)

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.template is None) == (not self.variants):
            raise ValueError("Give either `template` or `variants`.")
        return self

    def contents(self) -> tuple[VariantPart, ...]:
        """Return what the step sends: its variants, or its one template."""
        if self.template is None:
            return self.variants
        return (VariantPart(template=self.template, version=self.version),)


class StagedPart(_Part):
    """The first `percent` of the people, `least` at least, get their mail `wait_minutes` earlier.

    What comes back meanwhile decides whether the others get theirs.
    """

    percent: Decimal = Field(Decimal(2), gt=0, lt=100, decimal_places=2)
    least: int = Field(50, ge=1, le=1_000_000)
    wait_minutes: int = Field(60, ge=1, le=10_080)


class AudiencePart(_Part):
    """Leads whose variables have these values."""

    where: dict[str, str] = Field(min_length=1, max_length=20)

    def as_variables(self) -> dict[str, Any]:
        """Return the variables as they are nested in a lead: `user.city` inside `user`."""
        variables: dict[str, Any] = {}
        for name, value in self.where.items():
            *groups, last = name.split(".")
            inner = variables
            for group in groups:
                inner = inner.setdefault(group, {})
            inner[last] = value
        return variables


class CampaignDefinition(_Part):
    """A campaign as its file describes it; `scheduled_at` without an offset is local time.

    `audience` is `all` leads of the app (None), or a part of them.
    """

    name: Name
    accounts: tuple[Annotated[str, AfterValidator(_address)], ...] = Field(min_length=1)
    steps: tuple[StepPart, ...] = Field(min_length=1, max_length=50)
    queue: Name = "default"
    priority: int = Field(5, ge=1, le=10)
    scheduled_at: dt.datetime | None = None
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    use_lead_timezone: bool = True
    window: WindowPart = WindowPart()
    track_opens: bool = True
    track_clicks: bool = True
    audience: Annotated[AudiencePart | None, BeforeValidator(_audience)] = None
    staged_release: StagedPart | None = None

    def starts_at(self) -> dt.datetime | None:
        """Return `scheduled_at` in UTC."""
        if self.scheduled_at is None:
            return None
        if self.scheduled_at.tzinfo is None:
            local = self.scheduled_at.replace(tzinfo=zone_named(self.timezone))
            return local.astimezone(dt.UTC)
        return self.scheduled_at.astimezone(dt.UTC)

    def audience_variables(self) -> dict[str, Any]:
        """Return the variables a lead must have; empty = every lead of the app."""
        return {} if self.audience is None else self.audience.as_variables()


def read(text: str, source: str = "campaign.yaml") -> CampaignDefinition:
    """Return the campaign `text` describes; raises InputInvalid naming `source`, line and field."""
    node = _parsed(text, source)
    try:
        return CampaignDefinition.model_validate(yaml.BaseLoader(text).get_single_data())
    except ValidationError as error:
        _refuse(error, node, source)


def _parsed(text: str, source: str) -> yaml.Node:
    """Return the tree of the file. BaseLoader: every value stays text, so 17:00 is no number."""
    what = f"{source} cannot be read."
    if len(text) > MAX_SIZE:
        raise InputInvalid(what, why=f"It is larger than {MAX_SIZE // 1000} kB.")
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputInvalid(
            f"{source}, line {line}: this is no YAML.",
            why=f"{error.problem}.",
            fix="Check indentation and quotes.",
            field=f"line {line}",
        ) from error
    except yaml.YAMLError as error:
        raise InputInvalid(what, why=str(error), fix="Save it as UTF-8 text.") from error
    if not isinstance(node, yaml.MappingNode):
        raise InputInvalid(what, why="It holds no fields.", fix="Write `name:` and the others.")
    if "&" in text or "\\" in text:
        _check_events(text, source)
    return node


def _check_events(text: str, source: str) -> None:
    """Refuse aliases, and NUL characters, which only an escape can bring in."""
    for event in yaml.parse(text):
        line = event.start_mark.line + 1 if event.start_mark else 1
        what = f"{source}, line {line} cannot be used."
        if isinstance(event, yaml.AliasEvent):
            why = "Aliases (*name) are not supported."
            raise InputInvalid(what, why=why, fix="Write them out.", field=f"line {line}")
        if isinstance(event, yaml.ScalarEvent) and "\0" in event.value:
            why = "It holds a NUL character."
            raise InputInvalid(what, why=why, fix="Take it out.", field=f"line {line}")


def _refuse(error: ValidationError, node: yaml.Node, source: str) -> NoReturn:
    problems = error.errors(include_url=False, include_context=False)
    # A misspelt field is also a missing one: its own name says more.
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    path = first["loc"]
    field = ".".join(str(part) for part in path) or "(campaign)"
    why = first["msg"].removeprefix(_PREFIX).rstrip(".") + "."
    if first["type"] == "extra_forbidden":
        why = "There is no such field."
    more = f"{len(problems) - 1} more problem(s) follow." if len(problems) > 1 else ""
    raise InputInvalid(
        f"{source}, line {_line(node, path)}: {field} cannot be used.",
        why=why,
        fix=more or "Correct it and run the command again.",
        field=field,
    ) from error


def _line(node: yaml.Node, path: Sequence[int | str]) -> int:
    """Return the line, from 1, of the deepest part of `path` that the file has."""
    line = node.start_mark.line + 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value}
            if part not in pairs:
                break
            key, node = pairs[part]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
    return int(line)
