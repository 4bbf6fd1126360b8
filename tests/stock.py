"""Databases and vhosts ahead of need: the next one is made while a test uses the last."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack


class Stock:
    """Hands out what `make` opens, one to a test, and closes it when the test is over.

    A thread of its own opens and closes, one at a time; what goes wrong there is raised where the
    next one is wanted, or at the end.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[str]]) -> None:
        self._make = make
        self._hand = ThreadPoolExecutor(1, "stock")
        self._next = self._hand.submit(self._open)
        self._closed: list[Future[None]] = []

    @contextlib.contextmanager
    def one(self) -> Iterator[str]:
        """Yield a URL nobody else has had."""
        url, opened = self._next.result()
        self._next = self._hand.submit(self._open)
        try:
            yield url
        finally:
            self._closed.append(self._hand.submit(opened.close))

    def close(self) -> None:
        """Close what nobody took."""
        _, opened = self._next.result()
        opened.close()
        self._hand.shutdown()
        for done in self._closed:
            done.result()

    def _open(self) -> tuple[str, ExitStack]:
        with ExitStack() as opened:
            return opened.enter_context(self._make()), opened.pop_all()
