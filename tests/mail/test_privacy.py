"""What logs and suppression may know of an address."""

import pytest

from app.privacy import address_hash, masked


def test_the_hash_is_16_bytes_keyed_and_blind_to_case():
    assert len(address_hash("a@b.example", "pepper")) == 16
    assert address_hash("A@B.example ", "pepper") == address_hash("a@b.example", "pepper")
    assert address_hash("a@b.example", "other") != address_hash("a@b.example", "pepper")


@pytest.mark.parametrize(
    ("address", "shown"),
    [("user@example.com", "u***@example.com"), ("@x", "***@x"), ("no address", "***")],
)
def test_a_masked_address_shows_one_letter_and_the_domain(address, shown):
    assert masked(address) == shown
