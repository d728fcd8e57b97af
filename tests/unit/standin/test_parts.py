"""Duplicates, windows, keys, faults and routes, without a socket."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from sandbox.omnisend.brands import BrandError, Brands, masked, new_brand_id, new_key
from sandbox.omnisend.dialect import V5, V2026_03_15, Credential, version_finding
from sandbox.omnisend.duplicates import Ledger
from sandbox.omnisend.faults import AFTER_READING, Faults, Target
from sandbox.omnisend.limits import SlidingWindow
from sandbox.omnisend.model import BrandSpec, Fault, KeySpec, Settings
from sandbox.omnisend.routing import NO_METHODS, Endpoint, Routes

LONG_AGO = "2021-07-01T00:00:00Z"
BRAND = "5f0000000000000000000001"


def just_now():
    return (datetime.now(UTC) - timedelta(seconds=5)).isoformat()


def accept(ledger, event_id, event_time, brand=BRAND, keep=100):
    return ledger.accept(brand, event_id, event_time, historical_after_s=86_400, keep=keep)


def test_a_historical_event_is_processed_once():
    ledger = Ledger()
    assert accept(ledger, "a", LONG_AGO) == (False, True)
    assert accept(ledger, "a", LONG_AGO) == (True, False)


def test_a_real_time_event_is_processed_each_time_and_counted_as_duplicate():
    ledger, now = Ledger(), just_now()
    assert accept(ledger, "a", now) == (False, True)
    assert accept(ledger, "a", now) == (True, True)


def test_the_same_id_at_another_time_is_processed_again():
    ledger = Ledger()
    accept(ledger, "a", LONG_AGO)
    assert accept(ledger, "a", "2021-07-01T00:00:01Z") == (True, True)


def test_ids_are_a_brands_own_and_without_one_nothing_is_a_duplicate():
    ledger = Ledger()
    accept(ledger, "a", LONG_AGO)
    assert accept(ledger, "a", LONG_AGO, brand=new_brand_id()) == (False, True)
    assert accept(ledger, None, LONG_AGO) == accept(ledger, None, LONG_AGO) == (False, True)


def test_the_ledger_is_bounded():
    ledger = Ledger()
    for number in range(10):
        accept(ledger, str(number), LONG_AGO, keep=3)
    assert len(ledger) == 3


def test_a_window_slides_instead_of_starting_anew():
    window = SlidingWindow()
    for at in (0.0, 59.0, 59.5):
        window.add(at, 60.0)
    assert window.count(60.5, 60.0) == 2
    assert window.seconds_to_room(60.5, 60.0, limit=2) == pytest.approx(58.5)
    assert window.seconds_to_room(60.5, 60.0, limit=3) == 0.0


def test_a_key_must_have_omnisends_form_and_its_secret_is_in_no_message():
    brands, key = Brands(), "0" * 24 + "-very-secret-indeed"
    with pytest.raises(BrandError, match=BRAND) as refused:
        brands.register(BrandSpec(brandID=BRAND, keys=[KeySpec(key)]))
    assert "very-secret" not in str(refused.value)
    with pytest.raises(BrandError, match="24 hex"):
        brands.register(BrandSpec(brandID="shop"))
    with pytest.raises(BrandError, match="orders"):
        brands.register(BrandSpec(brandID=BRAND, keys=[KeySpec(new_key(BRAND), ["orders.write"])]))


def test_replaced_and_revoked_keys_open_nothing():
    brands, old, new = Brands(), new_key(BRAND), new_key(BRAND)
    brands.register(BrandSpec(brandID=BRAND, keys=[KeySpec(old)]))
    brands.register(BrandSpec(brandID=BRAND, keys=[KeySpec(new)]))
    assert brands.caller(old, any_key=False).permissions is None
    assert brands.caller(old, any_key=False).brand_id == BRAND
    assert brands.caller(new, any_key=False).permissions
    brands.register(BrandSpec(brandID=BRAND, name="Other"))
    assert brands.caller(new, any_key=False).permissions, "what is not named stays"
    brands.register(BrandSpec(brandID=BRAND, keys=[]))
    assert brands.caller(new, any_key=False).permissions is None


def test_any_key_takes_every_well_formed_key():
    brands, one, two = Brands(), new_key(BRAND), new_key(BRAND)
    for key in (one, two, one):
        assert brands.caller(key, any_key=True).permissions
    assert brands.caller("rubbish", any_key=True).brand is None


def test_secrets_are_masked_and_redacted():
    brands, key = Brands(), new_key(BRAND)
    brands.register(BrandSpec(brandID=BRAND, keys=[KeySpec(key)]))
    secret = key.removeprefix(f"{BRAND}-")
    assert masked(key) == f"{BRAND}-****"
    assert masked("not a key but " + secret) == "****"
    assert secret.encode() not in brands.redact(b'{"note": "' + key.encode() + b'"}')
    assert secret not in repr(brands.by_id[BRAND])


def hits(fault, times=10, **target):
    faults = Faults()
    faults.add(fault)
    return [faults.pick(AFTER_READING, Target(**target)) is not None for _ in range(times)]


def test_a_fault_hits_from_the_nth_match_as_often_as_it_may():
    assert hits(Fault(kind="hang", nth=3, count=2), times=6) == [False, False, True, True, False, False]


def test_a_fault_hits_only_what_it_matches():
    fault = Fault(kind="hang", brand=BRAND, event_name="placed order", email="a@b.co", path="/v5/events")
    right = {"brand": BRAND, "event_name": "placed order", "email": "a@b.co", "path": "/v5/events"}
    assert hits(fault, 1, **right) == [True]
    for name in right:
        assert hits(fault, 1, **(right | {name: "other"})) == [False]


def test_probability_is_drawn_from_the_seed():
    fault = Fault(kind="hang", probability=0.5, seed=7)
    assert hits(fault, 50) == hits(fault, 50)
    assert hits(fault, 50) != hits(msgspec.structs.replace(fault, seed=8), 50)
    assert 5 < sum(hits(fault, 50)) < 45
    assert not any(hits(Fault(kind="hang", probability=0.0), 20))


def test_a_random_delay_lies_in_its_range():
    faults = Faults()
    faults.add(Fault(kind="delay", delay_s=1.0, delay_max_s=2.0))
    drawn = [faults.pick(AFTER_READING, Target()).delay_s for _ in range(20)]
    assert all(1.0 <= delay <= 2.0 for delay in drawn)
    assert len(set(drawn)) > 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "explode"},
        {"kind": "hang", "nth": 0},
        {"kind": "hang", "count": 0},
        {"kind": "hang", "probability": 1.5},
        {"kind": "delay", "delay_s": 2, "delay_max_s": 1},
        {"kind": "status", "status": 99},
        {"kind": "hang", "colour": "red"},
        {"kind": "reset_before_reading", "event_name": "placed order"},
        {"kind": "reset_before_reading", "processed": True},
        {"kind": "reset_on_connect", "brand": BRAND},
    ],
)
def test_a_fault_that_cannot_be_is_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Fault)


@pytest.mark.parametrize(
    ("fault", "acts"),
    [
        (Fault(kind="status"), False),
        (Fault(kind="status", status=202), True),
        (Fault(kind="status", processed=True), True),
        (Fault(kind="reset_before_reading"), False),
        (Fault(kind="reset_after_reading"), True),
        (Fault(kind="hang"), True),
        (Fault(kind="hang", processed=False), False),
    ],
)
def test_whether_omnisend_acts_in_spite_of_a_fault(fault, acts):
    assert fault.acts is acts


@pytest.mark.parametrize("wrong", [{"rate_limit": -1}, {"window_s": 0}, {"max_stored": 0}, {"colour": "red"}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Settings)


def test_a_path_with_variable_parts_is_found():
    endpoint = Endpoint(permission="contacts.read", act=lambda _call: None)
    routes = Routes({"/a": {"GET": endpoint}, "/contacts/{id}": {"PATCH": endpoint}})
    assert routes.find(V5, "/v5/a") == ({"GET": endpoint}, {})
    assert routes.find(V5, "/v5/contacts/7%2F8") == ({"PATCH": endpoint}, {"id": "7/8"})
    assert routes.find(V5, "/v5/contacts/") == (NO_METHODS, {})
    assert routes.find(V5, "/v5/contacts/7/tags") == (NO_METHODS, {})


def test_what_only_one_version_has_the_other_has_not():
    only = Endpoint(permission=None, act=lambda _call: None, dialects=frozenset({"2026-03-15"}))
    routes = Routes({"/a": {"GET": only}})
    assert routes.find(V5, "/v5/a") == ({}, {})
    assert routes.find(V2026_03_15, "/api/a") == ({"GET": only}, {})


@pytest.mark.parametrize(
    ("named", "code"),
    [
        (None, "version_missing"),
        ("", "version_missing"),
        ("v5", "version_unknown"),
        ("2026-3-15", "version_unknown"),
        ("2026-preview", "version_unknown"),
        ("2026-03-14", "version_unknown"),
        ("2026-03-15", None),
        ("2026-07-01", None),
    ],
)
def test_a_date_after_a_release_means_that_release(named, code):
    headers = {} if named is None else {"Omnisend-Version": named}
    found = version_finding(V2026_03_15, headers)
    assert (found.code if found else None) == code
    assert version_finding(V5, headers) is None


@pytest.mark.parametrize(
    ("authorization", "credential"),
    [
        ("Omnisend-API-Key abc", Credential("key", "abc")),
        ("omnisend-api-key abc", Credential("key", "abc")),
        ("Bearer abc", Credential("token", "abc")),
        ("Basic abc", None),
        ("abc", None),
    ],
)
def test_a_credential_is_read_by_its_scheme_and_never_shown(authorization, credential):
    read = V2026_03_15.credential({"Authorization": authorization})
    assert read == credential
    assert "abc" not in repr(read)
