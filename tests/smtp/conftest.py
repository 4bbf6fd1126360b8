"""The real inbox in its variants, scripted servers, groups and journals, closed after each test."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from app.inbox import Inbox, Offer
from app.smtp.group import Group
from app.smtp.journal import Journal
from tests.smtp.peers import Certificates, ScriptedServer, server_at


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def make_inbox(tmp_path) -> Iterator[Callable[..., Inbox]]:
    with contextlib.ExitStack() as stack:
        yield lambda **offer: stack.enter_context(Inbox(tmp_path / "inbox", offer=Offer(**offer)))


@pytest.fixture
def make_scripted() -> Iterator[Callable[..., ScriptedServer]]:
    with contextlib.ExitStack() as stack:
        yield lambda *scripts: stack.enter_context(contextlib.closing(ScriptedServer(*scripts)))


@pytest.fixture
def journal(tmp_path) -> Iterator[Journal]:
    with contextlib.closing(Journal(tmp_path / "journals")) as opened:
        yield opened


@pytest.fixture
def make_group() -> Iterator[Callable[..., Group]]:
    with contextlib.ExitStack() as stack:
        yield lambda port, **fields: stack.enter_context(
            contextlib.closing(Group(server_at(port, **fields)))
        )
