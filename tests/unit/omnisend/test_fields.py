"""Single fields: statuses, phones, names, addresses, money, instants."""

import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import phonenumbers
import pytest

from soldt_outbox.events import EventName, WorkerEventName
from soldt_outbox.omnisend.mapping import people
from soldt_outbox.omnisend.mapping.addresses import address
from soldt_outbox.omnisend.mapping.countries import (
    COUNTRY_NAMES,
    SOUTH_AFRICAN_PROVINCES,
    country_code,
    province_code,
)
from soldt_outbox.omnisend.mapping.events import OMNISEND_EVENTS
from soldt_outbox.omnisend.mapping.people import (
    Customer,
    PersonName,
    consent_phone,
    email,
    phone,
    split_name,
)
from soldt_outbox.omnisend.mapping.reading import (
    NotANumber,
    amount,
    ident,
    instant,
    optional_instant,
    quantity,
    text,
)
from soldt_outbox.omnisend.mapping.statuses import (
    FULFILLMENT_WORDS,
    PAYMENT_WORDS,
    fulfillment_status,
    payment_status,
)
from soldt_outbox.omnisend.mapping.urls import page, url
from soldt_outbox.rows import MerchantProfile

NOBODY = Customer(None, None, None, PersonName(None, None))


def test_every_event_has_omnisend_s_name_and_version():
    assert set(OMNISEND_EVENTS) == {*EventName, *WorkerEventName}


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", "awaitingPayment"),
        ("awaiting_payment", "awaitingPayment"),
        ("paid", "paid"),
        ("failed", "awaitingPayment"),
        ("refunded", "refunded"),
        ("Partially Paid", "partiallyPaid"),
        ("partiallyRefunded", "partiallyRefunded"),
        ("voided", "voided"),
        ("quantum", None),
        (None, None),
        (["paid"], None),
    ],
)
def test_payment_words(word, status):
    assert payment_status(EventName.ORDER_PLACED, word) == status


@pytest.mark.parametrize(
    ("word", "without_parcel", "with_parcel"),
    [
        ("pending", "unfulfilled", "unfulfilled"),
        ("processing", "inProgress", "inProgress"),
        ("shipped", "fulfilled", "fulfilled"),
        ("delivered", "delivered", "delivered"),
        ("cancelled", "unfulfilled", "fulfilled"),
        ("refunded", "unfulfilled", "fulfilled"),
        ("restocked", "restocked", "restocked"),
        ("inProgress", "inProgress", "inProgress"),
        ("quantum", None, None),
        (3, None, None),
    ],
)
def test_fulfilment_words(word, without_parcel, with_parcel):
    assert fulfillment_status(EventName.ORDER_PLACED, word, has_tracking=False) == without_parcel
    assert fulfillment_status(EventName.ORDER_PLACED, word, has_tracking=True) == with_parcel


def test_soldt_s_status_words_are_all_known():
    assert {
        "pending",
        "processing",
        "shipped",
        "delivered",
        "cancelled",
        "refunded",
    } <= FULFILLMENT_WORDS.keys()
    assert {"pending", "awaitingpayment", "paid", "failed", "refunded"} <= PAYMENT_WORDS.keys()


@pytest.mark.parametrize(
    ("raw", "country", "e164"),
    [
        ("082 123 4567", "ZA", "+27821234567"),
        ("+27 82 123 4567", "ZA", "+27821234567"),
        ("27821234567", "ZA", "+27821234567"),
        ("0027821234567", "ZA", "+27821234567"),
        ("+27 (0) 82 123-4567", "ZA", "+27821234567"),
        (27821234567, "ZA", "+27821234567"),
        ("+1 202 555 0143", "ZA", "+12025550143"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("+49 30 1234567890", "ZA", "+49301234567890"),
        ("+49 30 12345678901", "ZA", None),
        ("+49 30 1234567 890123", "ZA", None),
        ("0821234567", "??", None),
        ("12", "ZA", None),
        ("n/a", "ZA", None),
        ("082", "ZA", None),
        ("9" * 30, "ZA", None),
        (True, "ZA", None),
        (None, "ZA", None),
    ],
)
def test_phones(raw, country, e164):
    assert phone(raw, country) == e164


@pytest.mark.parametrize(
    ("raw", "recorded"),
    [
        ("082 123 4567", "+27821234567"),
        ("+49 30 12345678901", "+493012345678901"),
        ("+49 30 1234567 890123", None),
        ("12", None),
    ],
)
def test_a_consent_s_phone_may_be_longer_than_that_of_an_event(raw, recorded):
    assert consent_phone(raw, "ZA") == recorded


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (" Thandi@Example.CO.ZA ", "thandi@example.co.za"),
        ("o'neil+tag@example.com", "o'neil+tag@example.com"),
        ("thandi@example", None),
        ("a b@example.com", None),
        ("a@b@example.com", None),
        ("a@example..com", None),
        ("x" * 250 + "@a.co", None),
        (5, None),
    ],
)
def test_emails(raw, clean):
    assert email(raw) == clean


@pytest.mark.parametrize(
    ("full", "first", "last"),
    [
        ("Thandi Nkosi", "Thandi", "Nkosi"),
        ("  Thabo   van der Merwe ", "Thabo", "van der Merwe"),
        ("Cher", "Cher", None),
        ("-", None, None),
        (None, None, None),
        ("x" * 80, "x" * 50, None),
        ("🫖 Tea", "🫖", "Tea"),
    ],
)
def test_names(full, first, last):
    assert split_name(full) == (first, last)


def test_a_soldt_address():
    given = {"address": "1 Kloof", "city": "Durban", "province": "kwazulu natal", "postalCode": 4001}
    customer = NOBODY._replace(phone="+27821234567", name=PersonName("T", "N"))
    assert address(given, customer, "ZA") == {
        "address1": "1 Kloof",
        "city": "Durban",
        "zip": "4001",
        "state": "kwazulu natal",
        "stateCode": "KZN",
        "country": "South Africa",
        "countryCode": "ZA",
        "firstName": "T",
        "lastName": "N",
        "phone": "+27821234567",
    }


def test_an_address_elsewhere_keeps_its_country_and_gets_no_province_code():
    found = address(
        {"address1": "1 High St", "state": "Western Cape", "country": "United Kingdom"}, NOBODY, "ZA"
    )
    assert found == {
        "address1": "1 High St",
        "state": "Western Cape",
        "country": "United Kingdom",
        "countryCode": "GB",
    }
    assert address({"city": "X", "country": "na"}, NOBODY, "ZA") == {
        "city": "X",
        "country": "Namibia",
        "countryCode": "NA",
    }
    assert address({"city": "X", "country": "Atlantis"}, NOBODY, "ZA") == {"city": "X", "country": "Atlantis"}


def test_an_address_that_says_nothing_is_none():
    assert address({}, NOBODY, "ZA") is None
    assert address({"country": "ZA"}, NOBODY, "ZA") is None
    assert address({"address": {"a": 1}}, NOBODY, "ZA") is None
    assert address([], NOBODY, "ZA") is None


def test_countries_and_provinces():
    assert len(COUNTRY_NAMES) >= 245
    assert COUNTRY_NAMES["ZA"] == "South Africa"
    assert all(country_code(name) == code for code, name in COUNTRY_NAMES.items())
    assert len(set(SOUTH_AFRICAN_PROVINCES.values())) == 9
    assert province_code("ZA", " western  CAPE") == province_code("ZA", "wc") == "WC"
    assert province_code("NA", "Western Cape") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "5.00"),
        ("19.9", "19.90"),
        (0.1 + 0.2, "0.30"),
        (19.999, "20.00"),
        (Decimal("19.995"), "20.00"),
        (Decimal("1E+2"), "100.00"),
        ("0", "0.00"),
        (-0.0, "0.00"),
    ],
)
def test_money_is_exact_to_the_cent(value, expected):
    assert str(amount(value)).lstrip("-") == expected


@pytest.mark.parametrize(
    "value", [-1, "-0.01", "R5", "1,000.00", "", None, True, [], {}, 10**13, "1e5", Decimal("sNaN"), "٣"]
)
def test_what_is_no_money(value):
    with pytest.raises(NotANumber):
        amount(value)


@pytest.mark.parametrize(("value", "expected"), [(2, 2), ("2", 2), (2.0, 2), (Decimal("3.00"), 3)])
def test_quantities(value, expected):
    assert quantity(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-21T10:00:00.123456+00:00", "2026-11-21T10:00:00.123Z"),
        ("2026-11-21 12:00:00+02", "2026-11-21T10:00:00.000Z"),
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00.000Z"),
        ("2026-11-21T10:00:00", "2026-11-21T10:00:00.000Z"),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        (1795255200, None),
    ],
)
def test_instants(value, expected):
    assert optional_instant(value) == expected


def test_an_instant_is_in_utc():
    assert instant(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == "2026-01-01T00:00:00.000Z"
    assert instant(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (17, "17"),
        (" a ", "a"),
        (Decimal("17.0"), "17"),
        ("x" * 101, None),
        (True, None),
        ([], None),
        (10**30, None),
    ],
)
def test_ids(value, expected):
    assert ident(value) == expected


def test_long_text_is_cut_and_placeholders_are_nothing():
    assert text("x" * 60, 50) == "x" * 50
    assert text(" - ", 50) is None
    assert text("a\ud800b\0", 50) == "a?b"


@pytest.mark.parametrize(
    "value",
    [
        "/images/a.png",
        "javascript:alert(1)",
        "https://",
        "http://a b",
        "x" * 10,
        5,
        "https://a/" + "x" * 1_000,
    ],
)
def test_what_is_no_web_address(value):
    assert url(value) is None


def test_pages_of_the_storefront():
    shop = MerchantProfile(merchant_id=None, storefront_url="https://soldt.co.za/s/tea")
    assert page(shop, "/product", "17") == "https://soldt.co.za/s/tea/product/17"
    assert page(shop, "/product", "a/../b?c") == "https://soldt.co.za/s/tea/product/a%2F..%2Fb%3Fc"
    assert page(MerchantProfile(merchant_id=None, storefront_url=None), "/cart") is None


READ_THE_SHORT_WAY = ("DE", "KE", "NA", "ZA")


@pytest.mark.parametrize("country", [*READ_THE_SHORT_WAY, "JP", "GB", "IT", "US", "AR", "LT", "ZZ"])
def test_the_short_way_to_a_phone_number_says_what_the_library_says(country: str) -> None:
    """Numbers in service with digits changed, shortened and spaced, written in every way people write them."""
    rng = random.Random(country)  # noqa: S311
    code = phonenumbers.country_code_for_region(country) or 27
    kinds = [phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE]
    examples = [phonenumbers.example_number_for_type(country, kind) for kind in kinds]
    taken = 0
    for _ in range(3_000):
        example = rng.choice(examples)
        digits = list(str(example.national_number) if example else "821234567")
        for _ in range(rng.randrange(4)):
            digits[rng.randrange(len(digits))] = rng.choice("0123456789")
        cut = rng.randrange(len(digits))
        national = "".join(digits[:cut]) + rng.choice(["", " ", "-", ") ", "/", "x"]) + "".join(digits[cut:])
        prefix = rng.choice(
            ["0", "0", "", f"+{code}", f"+{code} 0", f"+{code}(0)", str(code), f"00{code}", "010", "011"]
        )
        short = people._ordinary_e164(prefix + national, country)
        if short is not None:
            taken += 1
            assert short == people._parsed_e164(prefix + national, country), prefix + national
    assert (taken > 0) == (country in READ_THE_SHORT_WAY)
