"""The command line in this process, against this test's database and an Omnisend stand-in."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest

from cli.main import main
from sandbox.omnisend import BrandKey, StandInControl, StandInProcess
from sandbox.shops import PROTEA
from sandbox.world import Database
from soldt_outbox.credentials import KeyRing

RING = KeyRing.generate("k1")


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Said]


class _Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="session")
def standin() -> Iterator[StandInProcess]:
    with StandInProcess("--rate-limit", "0") as process:
        yield process


@pytest.fixture
def omnisend(standin: StandInProcess) -> Iterator[StandInControl]:
    yield standin.control
    standin.control.clear_faults()
    standin.control.reset(brands=True)


@pytest.fixture
def brand(omnisend: StandInControl) -> BrandKey:
    return omnisend.add_brand(name="Protea & Co")


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, database: Database, standin: StandInProcess, tmp_path: Any
) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)  # no .env here
    monkeypatch.setenv("DATABASE_URL", database.url())
    monkeypatch.setenv("OUTBOX_ENCRYPTION_KEYS", RING)
    monkeypatch.setenv("OMNISEND_BASE_URL", standin.url)
    return monkeypatch


@pytest.fixture
def cli(
    environment: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """``cli("status", "--json")`` runs a command; ``stdin`` is piped into it, or with ``typed=True`` typed."""

    def run(*arguments: str, stdin: str = "", typed: bool = False) -> Said:
        monkeypatch.setattr(sys, "argv", ["soldt-outbox", *arguments])
        monkeypatch.setattr(sys, "stdin", _Keyboard(stdin) if typed else io.StringIO(stdin))
        capsys.readouterr()
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        else:
            code = 0
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def admin(database: Database) -> Iterator[psycopg.Connection]:
    with database.connect(autocommit=True) as conn:
        yield conn


@pytest.fixture
def connected(cli: Cli, brand: BrandKey) -> BrandKey:
    """Protea is connected; its brand's key."""
    assert cli("connect", "--merchant", PROTEA.slug, stdin=brand.key).code == 0
    return brand


@pytest.fixture
def dead_row(admin: psycopg.Connection) -> Callable[..., int]:
    """Writes a dead row and gives its id."""

    def write(merchant_id: UUID = PROTEA.merchant_id, *, key: str = "1", expires: str = "14 days") -> int:
        row = admin.execute(
            """
            insert into public.integrations_omnisend_outbox
              (merchant_id, name, dedup_key, ordering_key, payload, state, attempts, available_at, expires_at, settled_at, last_error)
            values (%s, 'order_placed', %s, 'hash', '{"customer_email": "nomsa@example.com"}', 'dead', 20, 'infinity',
              now() + %s::interval, now(), 'HTTP 400: no items')
            returning id
            """,
            [merchant_id, key, expires],
        ).fetchone()
        assert row is not None
        return int(row[0])

    return write
