"""The attempt journal: what survives a kill, and what is let go."""

import contextlib
import re
import signal
import subprocess
import sys
import threading

import pytest

from app.errors import DependencyUnavailable
from app.smtp.journal import Journal, dead, read

A, B, C = (letter * 32 for letter in "abc")


def test_lines_are_read_back_as_they_were_written(journal):
    journal.claim([A, B])
    journal.write(f"S {A} 3\nS {B} 1\n".encode())
    journal.write(f"R {A} 3 250 2.0.0 Ok: kept as 1\n".encode())
    contents = read(journal.path)
    assert contents.claimed == {A, B}
    assert contents.started == {(A, 3), (B, 1)}
    assert contents.replied == {(A, 3): (250, "2.0.0 Ok: kept as 1")}


@pytest.mark.parametrize("torn", ["S", f"S {A}", f"R {A} 1 2", "C abc", "\0\0\0"])
def test_a_torn_last_line_is_ignored(tmp_path, torn):
    path = tmp_path / "x.journal"
    path.write_text(f"C {B}\n{torn}")
    assert read(path).claimed == {B}
    assert not read(path).started
    assert not read(path).replied


def test_a_reply_without_text_is_a_reply(tmp_path):
    path = tmp_path / "x.journal"
    path.write_text(f"R {A} 1 250 \nR {B} 1 250\n")
    assert set(read(path).replied) == {(A, 1), (B, 1)}


def test_a_living_process_is_not_dead(journal):
    assert list(dead(journal.path.parent)) == []


def test_a_killed_process_is_dead_and_its_journal_holds_what_it_wrote(tmp_path):
    program = (
        "import sys, pathlib, time\n"
        "from app.smtp.journal import Journal\n"
        "journal = Journal(pathlib.Path(sys.argv[1]))\n"
        f"journal.claim(['{A}']); journal.write(b'S {A} 1\\n')\n"
        "print(journal.name, flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE)
    with child:
        name = child.stdout.readline().decode().strip()
        assert list(dead(tmp_path)) == []
        child.send_signal(signal.SIGKILL)
    (path,) = dead(tmp_path)
    assert path.stem == name
    assert read(path).started == {(A, 1)}


def test_two_settlers_never_hold_the_same_journal(tmp_path):
    (tmp_path / "1-x.journal").write_text(f"C {A}\n")
    first = dead(tmp_path)
    assert next(first)
    assert list(dead(tmp_path)) == []
    first.close()
    assert len(list(dead(tmp_path))) == 1


def test_a_large_journal_keeps_only_what_is_open(tmp_path):
    journal = Journal(tmp_path, limit_bytes=100)
    journal.claim([A, B])
    journal.write(f"S {A} 1\nS {B} 1\nR {A} 1 250 Ok\n".encode())
    journal.settled([A])
    assert read(journal.path).started == {(B, 1)}
    journal.write(f"R {B} 1 250 Ok\n".encode())
    assert read(journal.path).replied == {(B, 1): (250, "Ok")}
    assert list(dead(tmp_path)) == []
    journal.settled([B])
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_with_open_rows_outlives_its_process(tmp_path):
    journal = Journal(tmp_path)
    journal.claim([A])
    journal.close()
    assert [read(path).claimed for path in dead(tmp_path)] == [{A}]


def test_a_failed_rewrite_keeps_the_old_file(tmp_path, monkeypatch):
    with contextlib.closing(Journal(tmp_path, limit_bytes=10)) as journal:
        journal.claim([A, B])
        monkeypatch.setattr("pathlib.Path.rename", _no_space)
        journal.settled([A])
        monkeypatch.undo()
        assert read(journal.path).claimed == {A, B}
        assert [path.suffix for path in tmp_path.iterdir()] == [".journal"]


def _no_space(*_):
    raise OSError(28, "No space left on device")


def test_threads_never_tear_each_others_lines(tmp_path):
    with contextlib.closing(Journal(tmp_path, limit_bytes=5_000)) as journal:

        def work(letter):
            for number in range(300):
                identifier = f"{letter}{number:031}"
                journal.claim([identifier])
                journal.write(f"S {identifier} 1\n".encode())
                journal.settled([identifier])

        threads = [threading.Thread(target=work, args=(letter,)) for letter in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert journal.path.stat().st_size < 6_000
        lines = journal.path.read_text().splitlines()
        assert all(re.fullmatch(r"C( [a-d]\d{31})*|S [a-d]\d{31} 1", line) for line in lines)


def test_a_directory_that_cannot_be_written_is_told_in_words(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DependencyUnavailable, match="nothing more is sent"):
        Journal(tmp_path / "file")
