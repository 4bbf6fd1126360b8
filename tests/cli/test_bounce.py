"""`mailqueue bounce explain` tells of each file, whatever it holds."""

import json
from pathlib import Path

from click.testing import CliRunner

from app.__main__ import program

CORPUS = Path(__file__).parents[1] / "mail" / "corpus" / "flufl"


def explain(*arguments: object):
    argv = ["bounce", "explain", *(str(one) for one in arguments)]
    return CliRunner().invoke(program, argv, catch_exceptions=False)


def test_json_is_one_line_a_file():
    paths = [CORPUS / "yahoo_04.txt", CORPUS / "dsn_01.txt"]
    found = [json.loads(line) for line in explain("--json", *paths).stdout.splitlines()]

    assert [one["file"] for one in found] == [str(path) for path in paths]
    assert found[1]["recipients"] == [
        {"address": "userx@example.com", "class": "soft", "status": "5.0.0", "rule": "text.mailbox-full"}
    ]  # fmt: skip


def test_what_is_no_mail_has_class_none_and_a_rule(tmp_path):
    (tmp_path / "a").write_bytes(b"\x7fELF\0\xff" * 100)
    (tmp_path / "b").write_bytes(b"")
    result = explain("--json", tmp_path, tmp_path / "missing")

    found = [json.loads(line)["recipients"][0] for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [one["class"] for one in found] == ["none"] * 3
    assert [one["rule"] for one in found] == ["unreadable", "unreadable", "unreadable-file"]


def test_people_read_class_rule_and_reason():
    out = explain(CORPUS / "dsn_01.txt").stdout
    assert "userx@example.com" in out
    assert "text.mailbox-full" in out
    assert "The mailbox is full." in out


def test_a_mailbox_of_several_mails_is_read_mail_by_mail(tmp_path):
    mails = [(CORPUS / name).read_bytes() for name in ("yahoo_11.txt", "yahoo_12.txt")]
    box = b"".join(b"From x@y Thu Jan  1 00:00:00 1970\n" + mail + b"\n" for mail in mails)
    (tmp_path / "box").write_bytes(box)
    lines = explain("--json", "--mbox", tmp_path / "box").stdout.splitlines()

    assert [json.loads(line)["file"].rpartition(":")[2] for line in lines] == ["1", "2"]
