from typing import Any
from uuid import UUID

import psycopg
import pytest

from soldt_outbox.credentials import KeyRing
from soldt_outbox.errors import ConfigurationError, SchemaError
from soldt_outbox.settings import Settings
from worker import startup

SHOP = UUID(int=1)


class _Store:
    def __init__(
        self, credential: tuple[UUID, str, str] | None = None, problem: Exception | None = None
    ) -> None:
        self._credential = credential
        self._problem = problem

    async def check_schema(self) -> None:
        if self._problem is not None:
            raise self._problem

    async def any_credential(self) -> tuple[UUID, str, str] | None:
        return self._credential

    async def plaintext_keys(self) -> bool:
        return False


def _settings(url: str) -> Settings:
    given: dict[str, Any] = {"database_url": url}
    return Settings(_env_file=None, **given)


async def test_keys_that_open_what_is_stored_pass() -> None:
    ring = KeyRing.parse(KeyRing.generate("k1"))
    stored = ring.encrypt("secret", merchant_id=SHOP, column="api_key_enc")
    await startup.check(_Store((SHOP, "api_key_enc", stored)), ring)  # type: ignore[arg-type]
    await startup.check(_Store(), ring)  # type: ignore[arg-type]


async def test_keys_that_open_nothing_are_told_with_the_setting_to_change() -> None:
    stored = KeyRing.parse(KeyRing.generate("k2")).encrypt("s", merchant_id=SHOP, column="api_key_enc")
    ring = KeyRing.parse(KeyRing.generate("k1"))
    with pytest.raises(ConfigurationError, match=r"OUTBOX_ENCRYPTION_KEYS does not open .* needs key 'k2'"):
        await startup.check(_Store((SHOP, "api_key_enc", stored)), ring)  # type: ignore[arg-type]


async def test_a_missing_schema_is_told_before_anything_else() -> None:
    with pytest.raises(SchemaError, match="migrate"):
        await startup.check(_Store(problem=SchemaError("run migrate")), KeyRing.parse(KeyRing.generate("k1")))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://u:s3cret@db.example.com:6543/x", "db.example.com:6543"),
        ("postgresql://u:s3cret@db.example.com/x", "db.example.com:5432"),
        ("postgresql:///x", "the local socket"),
    ],
)
def test_a_database_out_of_reach_is_named_without_its_password(url: str, where: str) -> None:
    error = startup.unreachable(_settings(url), psycopg.OperationalError("timed out\nand more"))
    assert where in str(error)
    assert "(timed out)" in str(error)
    assert "s3cret" not in str(error)


def test_a_reason_that_says_nothing_is_replaced_by_the_kind_of_error() -> None:
    assert "(OperationalError)" in str(
        startup.unreachable(_settings("postgresql://h/x"), psycopg.OperationalError())
    )


def test_no_two_boots_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNO", "worker.1")
    assert len({startup.new_worker_id() for _ in range(100)}) == 100
    assert startup.new_worker_id().startswith("worker.1-")
