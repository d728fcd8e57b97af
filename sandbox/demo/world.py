"""The world of the demo and of ``soldt-outbox sandbox``: a database, an Omnisend, and workers between them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import psycopg

from sandbox.demo.workers import WorkerProcess
from sandbox.omnisend import BrandKey, BrandSpec, KeySpec, StandInControl, StandInProcess, new_key
from sandbox.postgres import PostgresServer
from sandbox.processes import remove_tree, scratch_directory
from sandbox.shops import SHOPS, Shop
from sandbox.world import Database, let_worker_log_in, prepare_database
from soldt_outbox.administration.merchants import Connected, connect, find_merchant
from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import WORKER_ROLE, open_database
from soldt_outbox.migrations import apply_migrations, migrations
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import DIALECTS

DATABASE: Final = "soldt"
LEASE_S: Final = 30  # the shortest there is: a killed worker's rows wait no longer than they must
_DIALECT: Final = "v5"

STORE_NAMES: Final = {
    shop.merchant_id: name
    for shop, name in zip(SHOPS, ("Protea & Co", "Karoo Leather", "Bo-Kaap Spices"), strict=True)
}


class World:
    """Started part by part, so that each can be told of; whatever was started is gone when the block ends."""

    def __init__(self) -> None:
        self._parts = ExitStack()
        self.encryption_keys = KeyRing.generate("sandbox")
        self.brands: dict[UUID, BrandKey] = {}
        self.workers: list[WorkerProcess] = []
        self.bin_dir = Path()
        self._database: Database | None = None
        self._omnisend: StandInProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if error is None:
                worker.stop()
            else:
                worker.kill()  # one that waits for an answer would make Ctrl-C wait too
        self._parts.close()

    def start_database(self, data_dir: Path | None = None) -> PostgresServer:
        """PostgreSQL with Supabase's furniture, SOLDT's tables and this project's migrations.

        With ``data_dir`` the data stays there, and what an earlier run left is used again.
        """
        server = self._parts.enter_context(PostgresServer(data_dir=data_dir))
        self._database = Database(server, DATABASE)
        self.bin_dir = server.bin_dir
        if data_dir is not None and _exists(self._database):
            with self._database.connect(autocommit=True) as conn:
                apply_migrations(conn)
            let_worker_log_in(server)
        else:
            prepare_database(server, DATABASE)
        return server

    def start_omnisend(self) -> None:
        """The stand-in, with a brand for each shop."""
        self._omnisend = self._parts.enter_context(StandInProcess())
        for shop in SHOPS:
            name = STORE_NAMES[shop.merchant_id]
            self.brands[shop.merchant_id] = self.control.add_brand(name=name)

    @property
    def database(self) -> Database:
        if self._database is None:
            raise RuntimeError("the database is not started")
        return self._database

    @property
    def omnisend(self) -> StandInProcess:
        if self._omnisend is None:
            raise RuntimeError("the Omnisend stand-in is not started")
        return self._omnisend

    @property
    def control(self) -> StandInControl:
        return self.omnisend.control

    @property
    def migrations(self) -> int:
        """How many there are."""
        return len(migrations())

    def key_of(self, shop: Shop) -> str:
        """The API key that Omnisend gave this shop's owner."""
        return self.brands[shop.merchant_id].key

    def revoke_key(self, shop: Shop) -> None:
        """The owner deletes the shop's key at Omnisend."""
        self.control.change_brand(BrandSpec(brandID=self.brands[shop.merchant_id].brand_id, keys=[]))

    def new_key(self, shop: Shop) -> str:
        """The owner makes a new key at Omnisend."""
        brand_id = self.brands[shop.merchant_id].brand_id
        brand = self.brands[shop.merchant_id] = BrandKey(brand_id, new_key(brand_id))
        self.control.change_brand(BrandSpec(brandID=brand_id, keys=[KeySpec(brand.key)]))
        return brand.key

    def connect(self, shop: Shop, api_key: str) -> Connected:
        """What ``soldt-outbox connect`` does. Raises ``ConnectionRefused`` where Omnisend does not confirm the key."""

        async def run() -> Connected:
            async with (
                open_database(
                    self.database.url(WORKER_ROLE), application_name="sandbox", max_size=1
                ) as database,
                OmnisendClient(self.omnisend.url, DIALECTS[_DIALECT]) as client,
            ):
                merchant = await find_merchant(database, shop.slug)
                return await connect(database, client, KeyRing.parse(self.encryption_keys), merchant, api_key)

        return asyncio.run(run())

    @property
    def environment(self) -> dict[str, str]:
        """What a worker and the command line are told."""
        return {
            "DATABASE_URL": self.database.url(WORKER_ROLE),
            "OUTBOX_ENCRYPTION_KEYS": self.encryption_keys,
            "OMNISEND_BASE_URL": self.omnisend.url,
            "OMNISEND_API_VERSION": _DIALECT,
            "LEASE_SECONDS": str(LEASE_S),
        }

    def start_workers(self, number: int) -> None:
        """``worker.1`` and so on, as Heroku names dynos."""
        directory = scratch_directory("workers", None)
        self._parts.callback(remove_tree, directory)
        for position in range(1, number + 1):
            self.workers.append(WorkerProcess(f"worker.{position}", self.environment, directory))


def _exists(database: Database) -> bool:
    with psycopg.connect(database.server.url(user=database.superuser)) as conn:
        found = conn.execute("select 1 from pg_database where datname = %s", [database.name]).fetchone()
    return found is not None
