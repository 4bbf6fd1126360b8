import multiprocessing
import os
import resource
import signal
import threading
from pathlib import Path

import pytest

from app.metrics import HITS_UNSPOOLED
from tracking.spool import Spool

# Python warns of forks beside threads other tests left; these children touch none of them.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

FORK = multiprocessing.get_context("fork")


def lines(directory: Path) -> list[bytes]:
    paths = sorted(directory.glob("*.hits"))
    return [line for path in paths for line in path.read_bytes().splitlines()]


def drained(spool: Spool) -> list[bytes]:
    found: list[bytes] = []
    while spool.waiting_bytes:
        spool.seal()
        found += spool.oldest().read_bytes().splitlines()
        spool.delete_oldest()
    return found


@pytest.fixture
def spool(tmp_path):
    opened = Spool(tmp_path, segment_bytes=100)
    yield opened
    opened.close()


def test_a_line_is_on_disk_when_append_returns(spool, tmp_path):
    assert spool.append(b"one\n")
    assert lines(tmp_path) == [b"one"]
    assert spool.waiting_bytes == 4


def test_segments_are_read_in_the_order_of_writing_and_then_gone(spool, tmp_path):
    written = [b"line %d" % n for n in range(50)]
    for line in written:
        spool.append(line + b"\n")
    assert len(list(tmp_path.glob("*.hits"))) > 3
    assert drained(spool) == written
    assert (list(tmp_path.glob("*.hits")), spool.waiting_bytes) == ([], 0)


def test_nothing_is_sealed_while_older_lines_wait(spool, tmp_path):
    for line in (b"one\n", b"two\n", b"three\n"):
        spool.append(line)
        spool.seal()
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*.hits"))] == [
        b"one\n",
        b"two\nthree\n",
    ]


def test_a_line_longer_than_a_segment_is_kept_whole(spool):
    spool.append(b"short\n")
    spool.append(b"x" * 500 + b"\n")
    assert drained(spool) == [b"short", b"x" * 500]


def test_threads_do_not_tear_each_others_lines(spool):
    def write(letter: bytes) -> None:
        for _ in range(200):
            spool.append(letter * 60 + b"\n")

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = drained(spool)
    assert len(found) == 600
    assert set(found) == {b"a" * 60, b"b" * 60, b"c" * 60}


def write_and_die(directory: Path) -> None:
    spool = Spool(directory)
    for n in range(10):
        spool.append(b"%d\n" % n)
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_lines_of_a_killed_process_are_adopted_once(tmp_path):
    child = FORK.Process(target=write_and_die, args=(tmp_path,))
    child.start()
    child.join(10)
    first, second = Spool(tmp_path), Spool(tmp_path)
    assert (first.adopt(), second.adopt()) == (1, 0)
    assert drained(first) == [b"%d" % n for n in range(10)]
    first.close()
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_the_spool_of_a_living_process_is_left_alone(spool, tmp_path):
    spool.append(b"mine\n")
    other = Spool(tmp_path)
    assert other.adopt() == 0
    other.close()
    assert drained(spool) == [b"mine"]


def test_what_waits_when_a_process_ends_is_adopted_by_the_next(tmp_path):
    ending = Spool(tmp_path)
    ending.append(b"late\n")
    ending.close()
    following = Spool(tmp_path)
    assert following.adopt() == 1
    assert drained(following) == [b"late"]
    following.close()


def test_a_fork_neither_takes_nor_frees_its_parents_spool(spool, tmp_path):
    spool.append(b"parent\n")

    def child() -> None:
        spool.forget()
        own = Spool(tmp_path)
        own.append(b"child\n")
        os._exit(own.adopt())

    process = FORK.Process(target=child)
    process.start()
    process.join(10)
    assert process.exitcode == 0
    assert drained(spool) == [b"parent"]
    assert spool.adopt() == 1
    assert drained(spool) == [b"child"]


def test_many_processes_adopting_at_once_share_and_lose_nothing(tmp_path):
    for n in range(8):
        dead = Spool(tmp_path)
        dead.append(b"%d\n" % n)
        dead.close()

    def adopt() -> None:
        own = Spool(tmp_path)
        own.adopt()
        own.close()

    children = [FORK.Process(target=adopt) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(10)
    last = Spool(tmp_path)
    last.adopt()
    assert sorted(drained(last)) == [b"%d" % n for n in range(8)]
    last.close()


def fill_the_disk(directory: Path, report: "multiprocessing.SimpleQueue[object]") -> None:
    """A file size limit is the full disk a test may have: write(2) takes part of a line, or none."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (25, resource.RLIM_INFINITY))
    spool, before = Spool(directory), HITS_UNSPOOLED._value.get()
    kept = [spool.append(b"123456789\n") for _ in range(4)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    kept.append(spool.append(b"afterward\n"))
    report.put((kept, drained(spool), HITS_UNSPOOLED._value.get() - before))


def test_a_full_disk_refuses_lines_and_spoils_none(tmp_path):
    report = FORK.SimpleQueue()
    child = FORK.Process(target=fill_the_disk, args=(tmp_path, report))
    child.start()
    child.join(10)
    assert child.exitcode == 0
    kept, found, unspooled = report.get()
    assert kept == [True, True, False, False, True]
    assert found == [b"123456789", b"123456789", b"afterward"]
    assert unspooled == 2
