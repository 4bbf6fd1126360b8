"""Templates and their versions: immutable, so what was sent can always be shown again."""

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.api.call import Call
from app.api.email_views import AcceptedView, accepted_view
from app.api.endpoint import Routes
from app.api.paging import Page, PageQuery, page
from app.api.submitting import order_of, take
from app.assembly import draft
from app.assembly.contents import Content
from app.assembly.preview import preview
from app.campaigns import template_pages, templates
from app.campaigns.templates import TemplateVersion
from app.submission.schemas import Mailbox, Mailboxes, Tracking, uncontrolled
from app.tenancy.scopes import Scope

routes = Routes("templates", about="Subjects, HTML and text parts, in versions.")

_BODY_BYTES = 2_500_000
_LONGEST_PART = 1_000_000

Name = Annotated[str, Field(min_length=1, max_length=200)]
Part = Annotated[str, Field(max_length=_LONGEST_PART)]


class ContentBody(BaseModel):
    """A content; one of `html` and `text` may be absent."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    subject: Annotated[str, Field(min_length=1, max_length=998), AfterValidator(uncontrolled)]
    html: Part | None = None
    text: Part | None = None

    @model_validator(mode="after")
    def _has_part(self) -> "ContentBody":
        if not (self.html or self.text):
            raise ValueError("give `html`, `text` or both")
        return self

    @property
    def content(self) -> Content:
        """Return the content as the rooms know it."""
        return Content(subject=self.subject, html=self.html or None, text=self.text or None)


class TemplateBody(ContentBody):
    """A template's next version."""

    name: Name


class TryBody(ContentBody):
    """A content, and one person's variables to fill it with."""

    variables: Annotated[dict[str, Any], Field(max_length=500)] = {}


class VariablesBody(BaseModel):
    """One person's variables."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    variables: Annotated[dict[str, Any], Field(max_length=500)] = {}


class TestBody(VariablesBody):
    """Who gets a template as a test, who seems to send it, and in which version: the newest."""

    sender: Annotated[Mailbox, Field(alias="from")]
    to: Annotated[Mailboxes, Field(min_length=1, max_length=5)]
    version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class TemplateView(BaseModel):
    """A template with its newest version, without its parts."""

    id: UUID = Field(description="The version's id.")
    name: str | None
    version: int
    subject: str
    variables: list[str]


class VersionView(TemplateView):
    """A version, whole."""

    html: str | None
    text: str | None


class SavedView(TemplateView):
    """A saved version; the same content again keeps the version it has."""

    is_unchanged: bool


class PreviewView(BaseModel):
    """What a person would see."""

    subject: str
    html: str | None
    text: str


class CheckView(BaseModel):
    """A content that can be used, and the variables it reads."""

    variables: list[str]


@routes.post(
    "/v1/templates",
    needs=Scope.CAMPAIGN_MANAGE,
    status=HTTPStatus.CREATED,
    body_bytes=_BODY_BYTES,
)
def save_template(call: Call, body: TemplateBody) -> SavedView:
    """Save a content as the template's next version; every line that cannot be used is named."""
    saved = templates.save(call.session, call.app_id, body.name, body.content, call.author)
    return SavedView(**_facts(saved), is_unchanged=saved.is_unchanged)


@routes.post("/v1/templates/check", needs=Scope.CAMPAIGN_MANAGE, body_bytes=_BODY_BYTES)
def check_template(call: Call, body: ContentBody) -> CheckView:
    """Check a content without saving it."""
    del call
    parsed = draft.parse(body.content.subject, body.content.html, body.content.text)
    return CheckView(variables=list(parsed.variables))


@routes.post("/v1/templates/preview", needs=Scope.CAMPAIGN_MANAGE, body_bytes=_BODY_BYTES)
def preview_content(call: Call, body: TryBody) -> PreviewView:
    """Fill a content that is not saved with one person's variables."""
    del call
    return _previewed(body.content, body.variables)


@routes.get("/v1/templates", needs=Scope.EMAIL_READ)
def list_templates(call: Call, query: PageQuery) -> Page[TemplateView]:
    """List templates by name, each with its newest version."""
    rows = template_pages.list_latest(
        call.session, call.app_id, after=query.after_text, limit=query.limit + 1
    )
    return page(rows, query, lambda row: TemplateView(**_facts(row)), lambda row: row.name or "")


@routes.get("/v1/templates/{name}", needs=Scope.EMAIL_READ)
def get_template(call: Call, name: Name) -> VersionView:
    """Show a template's newest version."""
    return _whole(templates.get(call.session, call.app_id, name))


@routes.get("/v1/templates/{name}/versions", needs=Scope.EMAIL_READ)
def list_template_versions(call: Call, name: Name, query: PageQuery) -> Page[TemplateView]:
    """List a template's versions, the newest first."""
    templates.get(call.session, call.app_id, name)
    rows = template_pages.list_versions(
        call.session, call.app_id, name, after=query.after_id, limit=query.limit + 1
    )
    return page(rows, query, lambda row: TemplateView(**_facts(row)), lambda row: row.id)


@routes.get("/v1/templates/{name}/versions/{version}", needs=Scope.EMAIL_READ)
def get_template_version(
    call: Call, name: Name, version: Annotated[int, Field(ge=1, le=2_000_000_000)]
) -> VersionView:
    """Show one version of a template."""
    return _whole(templates.get(call.session, call.app_id, name, version))


@routes.post("/v1/templates/{name}/preview", needs=Scope.EMAIL_READ)
def preview_template(call: Call, name: Name, body: VariablesBody) -> PreviewView:
    """Fill a template's newest version with one person's variables."""
    return _previewed(templates.get(call.session, call.app_id, name).content, body.variables)


@routes.post("/v1/templates/{name}/test", needs=Scope.EMAIL_SEND, status=HTTPStatus.ACCEPTED)
def send_template_test(call: Call, name: Name, body: TestBody) -> AcceptedView:
    """Send a template to a few people as a test, filled with one person's variables.

    It is an e-mail like any other, tagged `test`; opens and clicks are not tracked.
    """
    version = templates.get(call.session, call.app_id, name, body.version)
    order = order_of(
        template_id=name,
        template_version=version.version,
        to=body.to,
        variables=body.variables,
        tags=("test",),
        tracking=Tracking(opens=False, clicks=False),
        sender=body.sender,
    )
    return accepted_view(take(call, order))


def _previewed(content: Content, variables: dict[str, Any]) -> PreviewView:
    found = preview(content.subject, content.html, content.text, variables)
    return PreviewView(subject=found.subject, html=found.html, text=found.text)


def _facts(row: TemplateVersion) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "version": row.version,
        "subject": row.content.subject,
        "variables": list(row.variables),
    }


def _whole(row: TemplateVersion) -> VersionView:
    return VersionView(**_facts(row), html=row.content.html, text=row.content.text)
