import psycopg

from sandbox.omnisend import BrandKey
from sandbox.shops import PROTEA
from tests.integration.cli.conftest import Cli

OFF = {
    "contacts": False,
    "catalogue": False,
    "ordered_products": False,
    "api_version": None,
    "locale": "en",
}


def test_a_merchants_switches_are_shown_and_changed_one_by_one(
    cli: Cli, connected: BrandKey, admin: psycopg.Connection
):
    assert cli("configure", "--merchant", "protea", "--json").json() == OFF
    changed = cli(
        "configure", "--merchant", "protea", "--contacts", "--api-version", "2026-03-15", "--locale", "af-ZA"
    )
    assert changed.code == 0
    assert "contacts and consent" in changed.out
    assert "resync" in changed.err
    stands = OFF | {"contacts": True, "api_version": "2026-03-15", "locale": "af-ZA"}
    assert cli("configure", "--merchant", "protea", "--json").json() == stands
    back = cli("configure", "--merchant", "protea", "--no-contacts", "--api-version", "default", "--json")
    assert back.json() == OFF | {"locale": "af-ZA"}


def test_another_version_ends_the_wait_for_a_retired_one(
    cli: Cli, connected: BrandKey, admin: psycopg.Connection
):
    admin.execute(
        """insert into public.integrations_omnisend_lanes (merchant_id, paused_until, pause_reason)
        values (%s, now() + interval '15 minutes', 'RETIRED')""",
        [PROTEA.merchant_id],
    )
    cli("configure", "--merchant", "protea", "--contacts")
    waits = "select paused_until > clock_timestamp() from public.integrations_omnisend_lanes"
    assert admin.execute(waits).fetchone() == (True,)
    cli("configure", "--merchant", "protea", "--api-version", "2026-03-15")
    assert admin.execute(waits).fetchone() == (False,)


def test_what_cannot_be_is_refused_in_a_sentence(cli: Cli):
    never = cli("configure", "--merchant", "protea", "--contacts")
    assert (never.code, "was never connected" in never.err) == (2, True)
    odd = cli("configure", "--merchant", "protea", "--locale", "English")
    assert (odd.code, "--locale must be a language" in odd.err) == (2, True)
