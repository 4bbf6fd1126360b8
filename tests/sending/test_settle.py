"""What the journals of dead workers say, also when the host lost its power."""

from app.ids import new_id
from app.sending.settle import testimony as heard
from app.smtp.journal import read


def test_a_line_that_a_loss_of_power_spoilt_says_nothing(tmp_path) -> None:
    email_id = new_id()
    path = tmp_path / "1-a.journal"
    path.write_bytes(b"C %b 01a2\0\0\0\nS \0\0 1\nR x 1 250 ok\n" % email_id.hex.encode())
    said = heard("1-a", read(path))
    assert said.claimed == {email_id}
    assert said.started == frozenset()
    assert said.replied == {}
