import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from sandbox.omnisend import BrandKey, Fault, StandInControl
from sandbox.shops import BO_KAAP, KAROO, PROTEA
from sandbox.world import Database
from soldt_outbox.credentials import KeyRing
from tests.integration.cli.conftest import RING, Cli
from tests.support.shop import remember

UNKNOWN = "5f0000000000000000000009-nobodysKey123"


def stored(admin: psycopg.Connection, column: str = "api_key_enc") -> object:
    row = admin.execute(
        f"select {column} from public.integrations_omnisend where merchant_id = %s", [PROTEA.merchant_id]
    ).fetchone()
    return row[0] if row else None


def test_a_key_is_checked_and_stored_encrypted(cli: Cli, brand: BrandKey, admin: psycopg.Connection):
    said = cli("connect", "--merchant", PROTEA.slug, stdin=f"{brand.key}\n")

    assert (said.code, said.err) == (0, "")
    assert said.out == f"protea connected to brand Protea & Co ({brand.brand_id})\n"
    sealed = stored(admin)
    assert isinstance(sealed, str)
    opened = KeyRing.parse(RING).decrypt(sealed, merchant_id=PROTEA.merchant_id, column="api_key_enc")
    assert opened == brand.key
    assert stored(admin, "(status, brand_id, currency, country_code)") == (
        "connected",
        brand.brand_id,
        "ZAR",
        "ZA",
    )


def test_connecting_again_replaces_the_key_and_keeps_currency_and_country(
    cli: Cli, brand: BrandKey, omnisend: StandInControl, admin: psycopg.Connection
):
    merchant = str(PROTEA.merchant_id)
    cli("connect", "--merchant", merchant, "--currency", "NAD", "--country", "NA", stdin=brand.key)
    other = omnisend.add_brand()
    again = cli("connect", "--merchant", merchant, "--json", stdin=other.key)

    assert again.code == 0
    assert again.json() == {
        "merchant": {"merchant_id": merchant, "slug": "protea"},
        "brand_id": other.brand_id,
        "brand_name": "Sandbox shop",
        "created": False,
        "shared_with": [],
    }
    assert stored(admin, "(brand_id, currency, country_code)") == (other.brand_id, "NAD", "NA")


@pytest.mark.parametrize("same", [True, False], ids=["same brand", "another brand"])
def test_of_another_brand_nothing_counts_as_told(
    cli: Cli, connected: BrandKey, omnisend: StandInControl, admin: psycopg.Connection, same: bool
):
    for merchant in (PROTEA, KAROO):
        remember(admin, merchant.merchant_id)
    key = connected.key if same else omnisend.add_brand().key
    assert cli("connect", "--merchant", PROTEA.slug, stdin=key).code == 0
    kept = {KAROO.merchant_id} | ({PROTEA.merchant_id} if same else set())
    for table in ("told_items", "contact_watermarks"):
        found = admin.execute(f"select merchant_id from omnisend_private.{table}").fetchall()  # type: ignore[arg-type]
        assert {merchant_id for (merchant_id,) in found} == kept
    assert stored(admin, "brand_since is null") == same


@pytest.mark.parametrize(
    ("key", "sentence"),
    [(UNKNOWN, "Omnisend does not know this key"), ("two words", "this is no Omnisend API key")],
)
def test_a_wrong_key_is_refused_and_nothing_is_stored(cli, admin, key, sentence):
    said = cli("connect", "--merchant", PROTEA.slug, stdin=key)

    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith(f"soldt-outbox: {sentence}")
    assert said.err.count("\n") == 1
    assert key not in said.err
    assert stored(admin) is None


def test_a_key_without_permission_says_which_it_needs(cli: Cli, omnisend: StandInControl):
    brand = omnisend.add_brand(permissions=["events.write"])
    said = cli("connect", "--merchant", PROTEA.slug, stdin=brand.key)
    assert said.code == 1
    assert "brands.read and events.write" in said.err


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault(kind="status", status=503), "Omnisend is having trouble"),
        (Fault(kind="status", status=429), "this brand has used up its requests"),
        (Fault(kind="status", status=402), "the brand's plan or payment"),
        (Fault(kind="reset_after_reading"), "Omnisend could not be reached"),
        (Fault(kind="status", status=404), "Omnisend did not say which brand"),
    ],
    ids=lambda value: value.status if isinstance(value, Fault) else None,
)
def test_an_omnisend_in_trouble_stores_nothing(  # noqa: PLR0917
    cli, brand, omnisend, admin, fault, sentence
):
    omnisend.add_fault(fault)
    said = cli("connect", "--merchant", PROTEA.slug, stdin=brand.key)
    assert said.code == 1
    assert sentence in said.err
    assert brand.key not in said.err
    assert stored(admin) is None


def test_an_unknown_merchant_is_refused_before_the_key_is_read(cli: Cli):
    for named in ("nobody", "b0000000-0000-4000-8000-00000000ffff"):
        said = cli("connect", "--merchant", named)
        assert said.code == 2
        assert said.err == f"soldt-outbox: no merchant has the id or slug '{named}'\n"


def test_a_key_in_the_place_of_the_merchant_is_not_repeated(cli: Cli):
    said = cli("connect", "--merchant", UNKNOWN)
    assert said.code == 2
    assert "nobodysKey" not in said.out + said.err


def test_a_key_as_an_argument_is_refused_and_not_repeated(cli: Cli, brand: BrandKey):
    for arguments in ([brand.key], ["--key", brand.key], [f"--api-key={brand.key}"]):
        said = cli("connect", "--merchant", PROTEA.slug, *arguments)
        assert said.code == 2
        assert brand.key not in said.out + said.err


def test_a_brand_that_another_merchant_uses_is_warned_about(cli: Cli, connected: BrandKey):
    said = cli("connect", "--merchant", KAROO.slug, "--json", stdin=connected.key)
    assert said.code == 0
    assert "warning: protea sends to this brand too" in said.err
    assert [other["slug"] for other in said.json()["shared_with"]] == ["protea"]


@pytest.mark.parametrize(
    "arguments", [["--currency", "rand"], ["--country", "South Africa"], ["--currency", "zar"]]
)
def test_codes_are_checked_first(cli: Cli, arguments: list[str]):
    said = cli("connect", "--merchant", PROTEA.slug, *arguments)
    assert said.code == 2
    assert "must be" in said.err


def test_nothing_on_stdin_is_refused(cli: Cli):
    assert "no API key came in" in cli("connect", "--merchant", PROTEA.slug, stdin="\n").err
    assert "nothing else" in cli("connect", "--merchant", PROTEA.slug, stdin="a\nb").err


def test_without_an_encryption_key_it_says_how_to_make_one(cli: Cli, environment: pytest.MonkeyPatch):
    environment.setenv("OUTBOX_ENCRYPTION_KEYS", "")
    said = cli("connect", "--merchant", PROTEA.slug, stdin=UNKNOWN)
    assert said.code == 2
    assert "soldt-outbox keygen" in said.err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at a process through /proc")
def test_the_key_is_in_no_argument_while_omnisend_is_asked(
    environment: pytest.MonkeyPatch, brand: BrandKey, omnisend: StandInControl
):
    """A real process, looked at from outside while it waits; it says that it waits."""
    omnisend.add_fault(Fault(kind="delay", delay_s=2.5, path="/v5/brands/current"))
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "connect", "--merchant", PROTEA.slug],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdin is not None
    process.stdin.write(brand.key)
    process.stdin.close()
    process.stdin = None
    omnisend.wait_for(1, of="received")
    for shown in ("cmdline", "environ"):
        assert brand.key.split("-")[1] not in Path(f"/proc/{process.pid}/{shown}").read_text(encoding="utf-8")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert brand.key not in out + err
    assert err == "… asking Omnisend about the key\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_at_a_terminal_the_key_is_asked_for_and_not_shown(
    environment: pytest.MonkeyPatch, brand: BrandKey, admin: psycopg.Connection
):
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "connect", "--merchant", PROTEA.slug],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=dict(os.environ),
    )
    os.close(theirs)
    shown = b""
    while b"not shown" not in shown:  # getpass has switched the echo off before it asks
        shown += os.read(ours, 1_000)
    os.write(ours, brand.key.encode() + b"\n")
    while b"connected to brand" not in shown:
        shown += os.read(ours, 1_000)
    assert process.wait(30) == 0
    os.close(ours)
    assert brand.key.split("-")[1].encode() not in shown
    assert b"Omnisend API key of protea" in shown
    assert stored(admin) is not None


def test_connecting_anew_lets_a_paused_lane_go_but_not_earlier_than_omnisend_said(
    cli: Cli, connected: BrandKey, admin: psycopg.Connection
):
    for reason, left in (("AUTH", (None, None, 0)), ("THROTTLED", ("THROTTLED", True, 0))):
        admin.execute(
            """insert into public.integrations_omnisend_lanes (merchant_id, paused_until, pause_reason, failures_in_row)
            values (%s, now() + interval '1 hour', %s, 3)
            on conflict (merchant_id) do update
            set paused_until = excluded.paused_until, pause_reason = excluded.pause_reason, failures_in_row = 3""",
            [PROTEA.merchant_id, reason],
        )
        admin.execute("update public.integrations_omnisend set status = 'error', last_error = 'AUTH'")
        cli("connect", "--merchant", PROTEA.slug, stdin=connected.key)
        lane = admin.execute(
            "select pause_reason, paused_until > now(), failures_in_row from public.integrations_omnisend_lanes"
        ).fetchone()
        assert lane == left
        assert stored(admin, "(status, last_error)") == ("connected", None)


def test_disconnecting_wipes_the_key_and_skips_what_waits(
    cli: Cli, connected: BrandKey, admin: psycopg.Connection
):
    admin.execute(
        'select public.omnisend_enqueue(%s, \'checkout_started\', \'{"properties": {"cartID": "c1"}}\')',
        [PROTEA.merchant_id],
    )
    said = cli("disconnect", "--merchant", PROTEA.slug, "--yes", "--json")

    assert said.code == 0
    assert said.json()["skipped"] == 1
    assert stored(admin, "(status, api_key_enc)") == ("disabled", None)
    rows = admin.execute(
        "select state::text, payload, ordering_key, last_error from public.integrations_omnisend_outbox"
    ).fetchall()
    assert rows == [("skipped", None, None, "disconnected")]


def test_a_row_that_a_worker_holds_is_left_to_it(cli: Cli, connected: BrandKey, admin: psycopg.Connection):
    admin.execute(
        """insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, payload, lease_token, lease_until)
        values (%s, 'order_placed', '1', '{}', gen_random_uuid(), now() + interval '1 minute')""",
        [PROTEA.merchant_id],
    )
    assert cli("disconnect", "--merchant", PROTEA.slug, "--yes", "--json").json()["skipped"] == 0


def test_disconnecting_asks_first_and_needs_a_connection(cli: Cli, connected: BrandKey, admin):
    asked = cli("disconnect", "--merchant", PROTEA.slug)
    assert (asked.code, "--yes" in asked.err) == (2, True)
    assert stored(admin, "status") == "connected"
    never = cli("disconnect", "--merchant", BO_KAAP.slug, "--yes")
    assert (never.code, "never connected" in never.err) == (2, True)


def test_at_a_terminal_it_asks_and_takes_no_for_an_answer(cli: Cli, connected: BrandKey, admin, dead_row):
    row = dead_row()
    for command in (["disconnect", "--merchant", PROTEA.slug], ["retry", "--all"]):
        said = cli(*command, stdin="n\n", typed=True)
        assert said.code == 1
        assert said.err.endswith("soldt-outbox: nothing was changed\n")
    assert stored(admin, "status") == "connected"
    assert cli("retry", "--all", "--json", stdin="y\n", typed=True).json()["put_back"] == [row]
    assert cli("disconnect", "--merchant", PROTEA.slug, stdin="y\n", typed=True).code == 0


def test_every_command_works_through_a_transaction_pooler(
    cli: Cli, environment: pytest.MonkeyPatch, pgbouncer: Database, brand: BrandKey, dead_row
):
    environment.setenv("DATABASE_URL", pgbouncer.url())
    assert cli("migrate").code == 0
    assert cli("connect", "--merchant", PROTEA.slug, stdin=brand.key).code == 0
    row = dead_row()
    for command in ("status", "logs", "dead", f"retry {row}", "rotate-keys", "encrypt-credentials", "prune"):
        said = cli(*command.split())
        assert said.code == (1 if command == "status" else 0), said.err
    assert cli("disconnect", "--merchant", PROTEA.slug, "--yes").code == 0


def test_a_dead_database_is_told_at_once(cli: Cli, environment: pytest.MonkeyPatch):
    environment.setenv("DATABASE_URL", "postgresql://postgres:geheim@127.0.0.1:1/shop")
    started = time.monotonic()
    said = cli("connect", "--merchant", PROTEA.slug)
    assert said.code == 2
    assert "cannot be reached" in said.err
    assert "geheim" not in said.err
    assert time.monotonic() - started < 5
