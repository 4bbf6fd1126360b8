"""The document: its file in step, each operation named once, its page under a strict policy."""

import re
from collections import Counter
from pathlib import Path

from app.cli import openapi
from tests.api.conftest import Desk
from tests.api.world import operations

ROOT = Path(__file__).parents[2]


def test_the_file_is_in_step() -> None:
    assert (ROOT / openapi.FILE).read_text() == openapi.written(), "run: mailqueue openapi --write"


def test_each_operation_has_a_name_of_its_own() -> None:
    names = Counter(each.name for each in operations())
    assert not [name for name, count in names.items() if count > 1]


def test_the_page_loads_only_its_own_files_and_holds_no_script_or_style(desk: Desk) -> None:
    page = desk.client.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<style|\sstyle=|<script>|\son\w+=", page.text)
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        with desk.client.get(path) as file:
            assert (path[0], file.status_code) == ("/", 200), path


def test_the_served_document_is_the_written_one(desk: Desk) -> None:
    served = desk.client.get("/v1/openapi.json").json
    assert served["openapi"] == "3.1.0"
    assert {each.path for each in operations()} == served["paths"].keys()
