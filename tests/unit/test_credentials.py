import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soldt_outbox.credentials import KeyRing
from soldt_outbox.errors import CannotDecrypt, KeyRingError

SHOP = UUID("b0000000-0000-4000-8000-000000000001")
OTHER = UUID("b0000000-0000-4000-8000-000000000002")
KEY = "5f0000000000000000000001-secretSecret"
# Fixed, and not generated: they stand in the names of parametrised tests, which must be the same in every process.
OLD = "old:" + base64.b64encode(bytes(range(32))).decode()
NEW = "new:" + base64.b64encode(bytes(range(32, 64))).decode()


def seal(ring: KeyRing, text: str = KEY) -> str:
    return ring.encrypt(text, merchant_id=SHOP, column="api_key_enc")


def unseal(ring: KeyRing, sealed: str) -> str:
    return ring.decrypt(sealed, merchant_id=SHOP, column="api_key_enc")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_encrypted_can_be_opened(text: str):
    ring = KeyRing.parse(OLD)
    assert unseal(ring, seal(ring, text)) == text


def test_no_two_ciphertexts_are_alike_and_none_shows_the_key():
    ring = KeyRing.parse(OLD)
    sealed = {seal(ring) for _ in range(100)}
    assert len(sealed) == 100
    assert all(text.startswith("v1:old:") and "secretSecret" not in text for text in sealed)


def test_a_ciphertext_opens_for_its_merchant_and_column_only():
    ring = KeyRing.parse(OLD)
    sealed = seal(ring)
    for merchant_id, column in ((OTHER, "api_key_enc"), (SHOP, "access_token_enc")):
        with pytest.raises(CannotDecrypt, match="moved from another row or column"):
            ring.decrypt(sealed, merchant_id=merchant_id, column=column)


def test_a_ciphertext_under_another_keys_name_does_not_open():
    both = KeyRing.parse(f"{OLD},{NEW}")
    with pytest.raises(CannotDecrypt):
        unseal(both, seal(both).replace("v1:old:", "v1:new:"))


@given(st.data())
def test_a_changed_ciphertext_does_not_open(data: st.DataObject):
    ring = KeyRing.parse(OLD)
    raw = bytearray(base64.b64decode(seal(ring).split(":")[2]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CannotDecrypt):
        unseal(ring, f"v1:old:{base64.b64encode(raw).decode()}")


@given(st.text() | st.text("v1:old=AZaz09+/ \n"))
def test_anything_else_is_refused_in_a_sentence(text: str):
    with pytest.raises(CannotDecrypt):
        unseal(KeyRing.parse(OLD), text)


def test_every_key_opens_and_the_first_encrypts():
    sealed = seal(KeyRing.parse(OLD))
    both = KeyRing.parse(f" {NEW} , {OLD} ,")
    assert unseal(both, sealed) == KEY
    assert (both.primary, both.needs_rotation(sealed), both.needs_rotation(seal(both))) == (
        "new",
        True,
        False,
    )
    with pytest.raises(
        CannotDecrypt, match=r"needs key 'old', which OUTBOX_ENCRYPTION_KEYS lacks \(it has new\)"
    ):
        unseal(KeyRing.parse(NEW), sealed)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "is not set"),
        (" , ", "is not set"),
        ("c2VjcmV0c2VjcmV0", "not of the form"),
        ("k1:c2VjcmV0c2VjcmV0", "12 bytes instead of 32"),
        ("k1:c2VjcmV0c2VjcmV0!", "not valid base64"),
        ("k 1:" + OLD.partition(":")[2], "1 to 32 of the characters"),
        (f"{OLD},{OLD}", "two keys have the id old"),
    ],
)
def test_a_malformed_ring_is_told_without_repeating_a_key(value: str, problem: str):
    with pytest.raises(KeyRingError, match=problem) as refused:
        KeyRing.parse(value)
    assert "c2VjcmV0c2VjcmV0" not in str(refused.value)
    assert OLD.partition(":")[2] not in str(refused.value)


def test_url_safe_base64_is_taken_too():
    raw = bytes([251, 255] * 16)
    ring = KeyRing({"k": raw})
    assert unseal(KeyRing.parse("k:" + base64.urlsafe_b64encode(raw).decode()), seal(ring)) == KEY


def test_a_ring_shows_ids_only():
    ring = KeyRing.parse(f"{NEW},{OLD}")
    assert repr(ring) == "KeyRing(new, old)"
    assert f"{ring}" == repr(ring)


def test_generated_keys_differ_and_need_a_proper_id():
    assert KeyRing.generate("k") != KeyRing.generate("k")
    with pytest.raises(KeyRingError):
        KeyRing.generate("no:colons")
