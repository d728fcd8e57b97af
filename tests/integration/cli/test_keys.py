import psycopg
import pytest

from sandbox.omnisend import BrandKey
from sandbox.shops import BO_KAAP, KAROO, PROTEA, SHOPS
from sandbox.world import Database
from soldt_outbox.administration import rotation
from soldt_outbox.administration.plaintext import encrypt_credentials
from soldt_outbox.credentials import KeyRing
from soldt_outbox.errors import CredentialError
from tests.integration.cli.conftest import RING, Cli

NEW = KeyRing.generate("k2")
LEGACY_KEYS = {
    PROTEA.merchant_id: "5f0000000000000000000001-legacyProteaKey",
    KAROO.merchant_id: "5f0000000000000000000002-legacyKarooKey",
    BO_KAAP.merchant_id: "5f0000000000000000000003-legacyBoKaapKey",
}


def ciphertexts(admin: psycopg.Connection) -> dict[object, str]:
    return dict(admin.execute("select merchant_id, api_key_enc from public.integrations_omnisend").fetchall())


def has_plaintext_column(admin: psycopg.Connection) -> bool:
    return (
        admin.execute(
            "select 1 from information_schema.columns where table_name = 'integrations_omnisend' and column_name = 'api_key'"
        ).fetchone()
        is not None
    )


def connect_all(cli: Cli, omnisend) -> dict[object, str]:
    keys = {}
    for shop in SHOPS:
        keys[shop.merchant_id] = omnisend.add_brand().key
        assert cli("connect", "--merchant", shop.slug, stdin=keys[shop.merchant_id]).code == 0
    return keys


def opened(ring: str, sealed: dict[object, str]) -> dict[object, str]:
    keys = KeyRing.parse(ring)
    return {
        merchant: keys.decrypt(text, merchant_id=merchant, column="api_key_enc")  # type: ignore[arg-type]
        for merchant, text in sealed.items()
    }


def test_keygen_needs_nothing_and_its_last_line_is_a_value(cli: Cli, environment: pytest.MonkeyPatch):
    for name in ("DATABASE_URL", "OUTBOX_ENCRYPTION_KEYS"):
        environment.delenv(name)
    said = cli("keygen", "--id", "k2026")
    assert said.code == 0
    assert "OUTBOX_ENCRYPTION_KEYS" in said.err
    assert KeyRing.parse(said.out.splitlines()[-1]).primary == "k2026"
    assert KeyRing.parse(cli("keygen").out.strip()).primary.startswith("k2")
    assert cli("keygen", "--id", "no:colons").code == 2


def test_rotation_re_encrypts_what_another_key_encrypted_and_can_be_repeated(
    cli: Cli, environment: pytest.MonkeyPatch, omnisend, admin, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rotation, "PAGE", 2)
    keys = connect_all(cli, omnisend)
    environment.setenv("OUTBOX_ENCRYPTION_KEYS", f"{NEW},{RING}")

    first = cli("rotate-keys", "--json")
    assert (first.code, first.json()) == (
        0,
        {"key_id": "k2", "replaced": 3, "already": 0, "unreadable": {}},
    )
    sealed = ciphertexts(admin)
    assert all(text.startswith("v1:k2:") for text in sealed.values())
    assert opened(NEW, sealed) == keys

    again = cli("rotate-keys")
    assert (again.code, again.out) == (
        0,
        "0 re-encrypted with key k2, 3 already were, 0 could not be opened\n",
    )
    assert ciphertexts(admin) == sealed


def test_what_no_key_opens_is_named_and_left_alone(
    cli: Cli, environment: pytest.MonkeyPatch, connected: BrandKey, admin
):
    before = ciphertexts(admin)
    environment.setenv("OUTBOX_ENCRYPTION_KEYS", NEW)
    said = cli("rotate-keys")
    assert said.code == 1
    assert "1 could not be opened" in said.out
    assert "protea: the stored credential needs key 'k1'" in said.err
    assert ciphertexts(admin) == before


def test_a_key_saved_during_rotation_wins(
    cli: Cli, environment: pytest.MonkeyPatch, connected: BrandKey, admin, monkeypatch: pytest.MonkeyPatch
):
    saved = KeyRing.parse(RING).encrypt(
        "5f0000000000000000000007-newer", merchant_id=PROTEA.merchant_id, column="api_key_enc"
    )
    re_encrypted = rotation._re_encrypted

    def meanwhile(keys, row):
        if row["api_key_enc"] != saved:
            admin.execute("update public.integrations_omnisend set api_key_enc = %s", [saved])
        return re_encrypted(keys, row)

    monkeypatch.setattr(rotation, "_re_encrypted", meanwhile)
    environment.setenv("OUTBOX_ENCRYPTION_KEYS", f"{NEW},{RING}")
    assert cli("rotate-keys", "--json").json()["replaced"] == 1
    assert opened(NEW, ciphertexts(admin)) == {PROTEA.merchant_id: "5f0000000000000000000007-newer"}


@pytest.mark.world(legacy=True)
@pytest.mark.both_majors
def test_plaintext_keys_end_up_encrypted_and_their_column_goes(cli: Cli, admin: psycopg.Connection):
    said = cli("encrypt-credentials", "--json")
    assert (said.code, said.json()) == (0, {"moved": 3, "verified": 3, "dropped": True})
    assert not has_plaintext_column(admin)
    assert opened(RING, ciphertexts(admin)) == LEGACY_KEYS
    assert not any(key in said.out + said.err for key in LEGACY_KEYS.values())

    again = cli("encrypt-credentials", "--json")
    assert (again.code, again.json()) == (0, {"moved": 0, "verified": 3, "dropped": False})


@pytest.mark.world(legacy=True)
def test_a_merchant_connected_anew_keeps_its_newer_key(cli: Cli, brand: BrandKey, admin):
    assert cli("connect", "--merchant", PROTEA.slug, stdin=brand.key).code == 0
    assert cli("encrypt-credentials").code == 0
    assert opened(RING, ciphertexts(admin)) == LEGACY_KEYS | {PROTEA.merchant_id: brand.key}


@pytest.mark.world(legacy=True)
def test_blank_keys_connect_nobody(cli: Cli, admin: psycopg.Connection):
    admin.execute(
        "update public.integrations_omnisend set api_key = '  ' where merchant_id = %s", [KAROO.merchant_id]
    )
    assert cli("encrypt-credentials", "--json").json()["moved"] == 2
    assert ciphertexts(admin)[KAROO.merchant_id] is None


@pytest.mark.world(legacy=True)
def test_the_column_stays_while_a_stored_credential_does_not_open(cli: Cli, admin: psycopg.Connection):
    stranger = KeyRing.parse(NEW).encrypt("key", merchant_id=PROTEA.merchant_id, column="api_key_enc")
    admin.execute(
        "update public.integrations_omnisend set api_key_enc = %s where merchant_id = %s",
        [stranger, PROTEA.merchant_id],
    )
    said = cli("encrypt-credentials")
    assert said.code == 1
    assert "needs key 'k2'" in said.err
    assert "the plaintext column was not dropped" in said.err
    assert has_plaintext_column(admin)


@pytest.mark.world(legacy=True)
def test_interrupted_it_can_be_run_again(database: Database, admin: psycopg.Connection):
    ring = KeyRing.parse(RING)

    def interrupt(word: str) -> None:
        raise KeyboardInterrupt(word)

    with database.connect(autocommit=True) as conn:
        with pytest.raises(KeyboardInterrupt):
            encrypt_credentials(conn, ring, interrupt)
        assert has_plaintext_column(admin)
        assert encrypt_credentials(conn, ring).dropped
    assert opened(RING, ciphertexts(admin)) == LEGACY_KEYS


@pytest.mark.world(legacy=True)
def test_a_key_that_is_saved_while_others_are_moved_is_moved_too(
    database: Database, admin: psycopg.Connection
):
    ring, late = KeyRing.parse(RING), iter(["5f0000000000000000000008-savedLate"])

    def meanwhile(word: str) -> None:
        if "checked" in word:
            for key in late:
                admin.execute(
                    "update public.integrations_omnisend set api_key = %s, api_key_enc = null where merchant_id = %s",
                    [key, KAROO.merchant_id],
                )

    with database.connect(autocommit=True) as conn:
        assert encrypt_credentials(conn, ring, meanwhile).moved == 4
    assert opened(RING, ciphertexts(admin))[KAROO.merchant_id] == "5f0000000000000000000008-savedLate"


@pytest.mark.world(legacy=True)
def test_the_worker_role_may_not_drop_the_column(
    cli: Cli, environment: pytest.MonkeyPatch, database: Database, admin
):
    environment.setenv("DATABASE_URL", database.url("omnisend_worker"))
    said = cli("encrypt-credentials")
    assert (said.code, "log in as postgres" in said.err) == (2, True)
    assert has_plaintext_column(admin)


def test_a_ciphertext_that_does_not_give_the_key_back_stops_it(
    make_database, monkeypatch: pytest.MonkeyPatch
):
    ring = KeyRing.parse(RING)
    monkeypatch.setattr(ring, "decrypt", lambda *_args, **_kwargs: "another")
    with make_database(legacy=True).connect(autocommit=True) as conn:
        with pytest.raises(CredentialError, match="did not give it back"):
            encrypt_credentials(conn, ring)
        left = conn.execute("select count(api_key), count(api_key_enc) from public.integrations_omnisend")
        assert left.fetchone() == (3, 0)
