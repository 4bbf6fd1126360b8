import contextlib
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.campaigns.leads_csv import read
from app.errors import InputInvalid


def rows(text):
    content = text if isinstance(text, bytes) else text.encode()
    return list(read(io.BytesIO(content)))


def test_columns_become_variables_as_they_are_called():
    (row,) = rows("Email,first_name,Company,timezone\nAna@Example.org,Ana,Acme,Europe/Berlin\n")
    assert row.email == "Ana@example.org"
    assert row.timezone == "Europe/Berlin"
    assert row.variables == {"first_name": "Ana", "Company": "Acme"}


def test_dotted_columns_are_nested():
    (row,) = rows("email,user.address.city,user.name\na@x.org,Ulm,Ana\n")
    assert row.variables == {"user": {"address": {"city": "Ulm"}, "name": "Ana"}}


def test_empty_cells_are_no_variables():
    (row,) = rows("email,first_name,user.city\na@x.org,,\n")
    assert (row.variables, row.timezone) == ({}, None)


def test_lines_are_counted_over_newlines_inside_quotes():
    parsed = rows('email,note\na@x.org,"one\ntwo, ""quoted"""\n\nb@x.org,x\n')
    assert [(row.line, row.email) for row in parsed] == [(2, "a@x.org"), (5, "b@x.org")]
    assert parsed[0].variables["note"] == 'one\ntwo, "quoted"'


def test_a_byte_order_mark_and_windows_line_ends_are_read():
    (row,) = rows(b"\xef\xbb\xbfemail,name\r\na@x.org,\xc3\x84nne\r\n")
    assert row.variables == {"name": "Änne"}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [("nobody,", "not an e-mail address"), ("a@x.org,Europe/Berln", "Did you mean Europe/Berlin")],
)
def test_a_row_that_is_no_lead_is_rejected_with_its_reason(cells, reason):
    good, bad = rows(f"email,timezone\nb@x.org,\n{cells}\n")
    assert good.reason is None
    assert bad.line == 3
    assert reason in bad.reason


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (b"", 1, "exactly one column `email`"),
        (b"name,company\nx,y\n", 1, "exactly one column `email`"),
        (b"email;name\na@x.org;Ana\n", 1, "Separate the columns by commas"),
        (b"email,Email\na@x.org,b@x.org\n", 1, "exactly one column `email`"),
        (b"email,a,a\na@x.org,1,2\n", 1, "'a' is named twice"),
        (b"email,,a\na@x.org,1,2\n", 1, "Column 2 has no usable name"),
        (b"email,a..b\na@x.org,1\n", 1, "Column 2 has no usable name"),
        (b"email,user,user.city\na@x.org,1,2\n", 1, "exclude each other"),
        (b"email,name\na@x.org,Ana\nb@x.org\n", 3, "1 fields, the header 2"),
        (b"email,name\na@x.org,Ana, too\n", 2, "3 fields, the header 2"),
        (b'email,name\na@x.org,x\nb@x.org,"open\nc@x.org,x\n', 3, "cannot be read"),
        (b'email,name\na@x.org,"x"y\n', 2, "cannot be read"),
        (b"email,name\na@x.org,x\nb@x.org,J\xf6rg\n", 3, "not UTF-8"),
        (b"email,name\na@x.org,\0\n", 2, "NUL"),
    ],
)
def test_a_fault_of_structure_names_its_line(content, line, says):
    with pytest.raises(InputInvalid, match=f"^Line {line}: .*{says}") as caught:
        rows(content)
    assert caught.value.field == f"line {line}"


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"))


@given(st.lists(st.tuples(cells, cells), max_size=20))
def test_whatever_a_writer_quotes_is_read_back(values):
    target = io.StringIO(newline="")
    writer = csv.writer(target, quoting=csv.QUOTE_ALL)
    writer.writerows([("email", "a", "b"), *(("x@y.org", *pair) for pair in values)])
    parsed = rows(target.getvalue())
    assert [(row.variables.get("a", ""), row.variables.get("b", "")) for row in parsed] == values


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    with contextlib.suppress(InputInvalid):
        rows(b"email,a\n" + content)
