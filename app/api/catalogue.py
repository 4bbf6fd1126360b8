"""Every subject of the API, in the order of its document."""

from collections.abc import Mapping
from typing import Any

import structlog
from flask import Flask

from app.api import (
    accounts,
    analytics,
    api_keys,
    apps,
    audit,
    campaigns,
    companies,
    contents,
    dead_letters,
    emails,
    gdpr,
    health,
    jobs,
    leads,
    mailboxes,
    mailer,
    provider_hooks,
    queues,
    reputation,
    smtp_configs,
    suppressions,
    users,
    webhooks,
)
from app.api.authentication import Door
from app.api.endpoint import Routes
from app.api.health import Check
from app.api.openapi import document
from app.api.serving import add_headers, register
from app.release import VERSION

SUBJECTS: tuple[Routes, ...] = (
    emails.routes,
    contents.routes,
    leads.routes,
    campaigns.routes,
    suppressions.routes,
    webhooks.routes,
    provider_hooks.routes,
    gdpr.routes,
    analytics.routes,
    dead_letters.routes,
    queues.routes,
    smtp_configs.routes,
    accounts.routes,
    reputation.routes,
    mailboxes.routes,
    jobs.routes,
    apps.routes,
    companies.routes,
    api_keys.routes,
    users.routes,
    audit.routes,
    mailer.routes,
    health.routes,
)


def subjects(checks: Mapping[str, Check]) -> tuple[Routes, ...]:
    """Return the subjects; `checks` are the dependencies /v1/health/detailed asks."""
    return (*SUBJECTS, health.detailed(checks))


def contract() -> dict[str, Any]:
    """Return the OpenAPI document of this release."""
    return document(subjects({}), VERSION)


def serve(web: Flask, checks: Mapping[str, Check], door: Door) -> None:
    """Make `web` serve the API."""
    endpoints = [each for routes in subjects(checks) for each in routes.endpoints]
    register(web, endpoints, door)
    web.after_request(add_headers)
    web.teardown_request(lambda _error: structlog.contextvars.clear_contextvars())
