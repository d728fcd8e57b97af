import re

import psycopg
import pytest

from sandbox.omnisend import BrandKey
from sandbox.shops import KAROO, PROTEA
from sandbox.world import Database
from tests.integration.cli.conftest import Cli
from tests.support.consents import NOMSA, PHONE, consents, record
from tests.support.shop import claim, place

FORGET = ("forget", "--merchant", PROTEA.slug)


@pytest.fixture
def shop(database: Database, connected: BrandKey) -> Database:
    """Protea is connected, and Nomsa agreed to e-mail and SMS."""
    with database.connect() as conn:
        for who in (NOMSA, PHONE):
            record(conn, who)
    return database


def test_a_person_is_forgotten_by_what_comes_in_on_stdin(cli: Cli, shop: Database):
    with shop.connect() as conn:
        place(conn)
    said = cli(*FORGET, "--yes", "--json", stdin="\n082 123 4567\n Nomsa@Example.com \n")
    assert said.code == 0
    assert said.json() == {
        "merchant": {"merchant_id": str(PROTEA.merchant_id), "slug": "protea"},
        "consents": 2,
        "rows": 1,
        "batch_items": 0,
        "told": 0,
        "logs": 0,
        "in_hand": 0,
    }
    assert consents(shop) == []
    assert "Omnisend still has its contact" in said.err
    assert NOMSA not in (said.out + said.err).lower()


def test_a_phone_too_long_for_an_event_is_forgotten_like_any_other(cli: Cli, shop: Database):
    long = "+493012345678901"
    with shop.connect() as conn:
        record(conn, long)
    assert cli(*FORGET, "--yes", stdin=long).code == 0
    assert long not in [row["identifier"] for row in consents(shop)]


def test_what_a_worker_holds_is_to_be_forgotten_again(cli: Cli, shop: Database):
    with shop.connect() as conn:
        place(conn)
    with shop.connect("omnisend_worker", autocommit=True) as worker:
        claim(worker)
    said = cli(*FORGET, "--yes", stdin=NOMSA)
    assert said.code == 1
    assert re.search(r"consents removed +1\b", said.out)
    assert re.search(r"rows emptied +0\b", said.out)
    assert said.err.endswith("rows that a worker holds at this moment: 1; run it again in a minute\n")


@pytest.mark.parametrize(
    ("typed", "code", "left"),
    [
        (f"{NOMSA}\n\ny\n", 0, [PHONE]),
        (f"\n{PHONE}\ny\n", 0, [NOMSA]),
        (f"{NOMSA}\n{PHONE}\nn\n", 1, [NOMSA, PHONE]),
    ],
    ids=["by e-mail", "by phone", "no"],
)
def test_at_a_terminal_it_asks(cli: Cli, shop: Database, typed: str, code: int, left: list[str]):
    said = cli(*FORGET, stdin=typed, typed=True)
    assert said.code == code
    assert "Forget this person at protea? Nothing brings it back." in said.err
    assert [row["identifier"] for row in consents(shop)] == left


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        ("", "one person at a time"),
        (f"{NOMSA}\nthandi@example.com", "one person at a time"),
        ("082 123 4567\n+27837654321", "one person at a time"),
        ("nomsa", "neither an e-mail address nor a phone number"),
        (f"{NOMSA}\n" * 100, "nothing else"),
        (NOMSA, "say --yes"),
    ],
    ids=["nothing", "two addresses", "two phones", "a word", "a list", "nobody to ask"],
)
def test_who_is_not_named_well_is_not_forgotten(cli: Cli, shop: Database, stdin: str, sentence: str):
    said = cli(*FORGET, stdin=stdin)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err
    assert "nomsa" not in said.err
    assert len(consents(shop)) == 2


def test_an_address_as_an_argument_is_refused_and_not_repeated(cli: Cli, shop: Database):
    for arguments in ([NOMSA], ["--email", NOMSA], [f"--customer={NOMSA}"]):
        said = cli(*FORGET, "--yes", *arguments)
        assert said.code == 2
        assert NOMSA not in said.out + said.err
    assert len(consents(shop)) == 2


def test_another_merchants_customer_of_this_address_stays(cli: Cli, shop: Database):
    said = cli("forget", "--merchant", KAROO.slug, "--yes", stdin=NOMSA)
    assert said.code == 0
    assert len(consents(shop)) == 2


def test_an_unknown_merchant_is_refused_before_the_address_is_read(cli: Cli, database: Database):
    said = cli("forget", "--merchant", "nobody", "--yes")
    assert (said.code, said.err) == (2, "soldt-outbox: no merchant has the id or slug 'nobody'\n")


def test_only_the_owner_forgets(cli: Cli, shop: Database, environment: pytest.MonkeyPatch):
    environment.setenv("DATABASE_URL", shop.url("omnisend_worker"))
    said = cli(*FORGET, "--yes", stdin=NOMSA)
    assert (said.code, "log in as postgres" in said.err) == (2, True)
    assert len(consents(shop)) == 2


def test_on_older_tables_it_says_so(cli: Cli, shop: Database, admin: psycopg.Connection):
    admin.execute("drop function public.omnisend_forget_person")
    said = cli(*FORGET, "--yes", stdin=NOMSA)
    assert (said.code, "soldt-outbox migrate" in said.err) == (2, True)
