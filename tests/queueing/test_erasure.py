"""A person leaves a dead letter; the other mails of its chunk can still be retried."""

from app.queueing.erasure import without_mails


def message(payload: object) -> dict:
    return {"actor_name": "a", "options": {"traceback": "ann@x.io"}, "kwargs": {"payload": payload}}


def test_only_the_persons_mails_leave_a_chunk():
    mails = [
        {"to": "Ann@x.io", "slots": ["Ann@x.io"]},
        {"to": "joann@x.io", "slots": ["cc ann@x.io"]},
    ]
    kept = without_mails(message({"mails": mails}), {"ann@x.io"})
    assert kept["kwargs"]["payload"]["mails"] == [{"to": "joann@x.io", "slots": ["cc erased"]}]
    assert kept["options"] == {}


def test_a_chunk_that_names_mails_by_id_stays_whole():
    payload = {"email_ids": ["1", "2"], "lead_ids": [None, None]}
    kept = without_mails(message(payload), {"ann@x.io"})
    assert kept["kwargs"] == {"payload": payload}


def test_nothing_is_left_of_a_letter_to_the_person_alone():
    assert without_mails(message({"mails": [{"to": "ann@x.io", "slots": []}]}), {"ann@x.io"}) == {}


def test_nothing_is_left_of_what_is_no_message():
    assert without_mails({"undecodable": "to ann@x.io"}, {"ann@x.io"}) == {}
