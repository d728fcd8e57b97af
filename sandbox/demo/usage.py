"""How to use a world that is left running: addresses, what to export, what to try."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sandbox.demo.world import STORE_NAMES, World
from sandbox.postgrest import SupabaseApi
from sandbox.shops import PROTEA, SHOPS


def instructions(world: World, api: SupabaseApi | None = None) -> str:
    """Everything needed to work with the world from another terminal."""
    return "\n".join(
        [
            "In another terminal, for a worker and for the command line:",
            "",
            *(f"  export {name}='{value}'" for name, value in world.environment.items()),
            "",
            "The database, under each role (any PostgreSQL client takes these):",
            "",
            *(f"  {who:<17} {url}" for who, url in _database_urls(world)),
            "",
            *_api(api),
            f"Omnisend's stand-in: {world.omnisend.url}",
            f"  what it can be asked and told:  curl -s {world.omnisend.control_url}/_sandbox",
            "",
            "Merchants and their keys at Omnisend:",
            "",
            *(f"  {shop.slug:<15} {world.key_of(shop)}  ({STORE_NAMES[shop.merchant_id]})" for shop in SHOPS),
            "",
            "To try:",
            "",
            *_examples(world),
        ]
    )


def _database_urls(world: World) -> Iterable[tuple[str, str]]:
    database = world.database
    yield "postgres", database.url("postgres")
    login = database.url("authenticator")
    for role in ("anon", "service_role"):
        yield role, f"{login}?options={quote(f'-c role={role}')}"
    claims = json.dumps({"sub": str(PROTEA.owner_id), "role": "authenticated"}, separators=(",", ":"))
    yield (
        "protea's admin",
        f"{login}?options={quote(f'-c role=authenticated -c request.jwt.claims={claims}')}",
    )
    yield "the worker", world.environment["DATABASE_URL"]


def _api(api: SupabaseApi | None) -> list[str]:
    if api is None:
        return ["Supabase's API is left out: PostgREST is not installed here (make parts fetches it).", ""]
    return [
        f"Supabase's API: {api.url}",
        f"  publishable key {api.publishable_key}",
        f"  secret key      {api.secret_key}",
        f"  a token of protea's admin, good for an hour: {api.user_token(PROTEA.owner_id)}",
        "",
    ]


_ORDER: Final = """\
insert into orders (merchant_id, customer_email, customer_name, shipping_address, items, subtotal, shipping, tax, total, payment_method)
values ('{merchant_id}', 'me@example.com', 'Me Myself', '{{"address": "1 Long Street", "city": "Cape Town"}}',
  '[{{"product_id": 102, "title": "Enamel mug", "quantity": 1, "price": 149.5}}]', 149.5, 60, 19.5, 209.5, 'card');"""


def _examples(world: World) -> list[str]:
    control, checked = world.omnisend.control_url, len(world.brands)
    return [
        "# order a mug, as a browser does",
        f"{_psql(world)} '{dict(_database_urls(world))['anon']}' <<'SQL'",
        _ORDER.format(merchant_id=PROTEA.merchant_id),
        "SQL",
        "",
        f"# see what became of it (it waits until a worker runs: {sys.executable} -m worker)",
        f"{_here('soldt-outbox')} logs --merchant {PROTEA.slug}",
        "",
        f"# see what Omnisend read, and what it objected to (its first {checked} requests checked the merchants' keys)",
        f"curl -s '{control}/_sandbox/received?after={checked}'",
        "",
        "# let Omnisend fail three times, order another mug, and look again",
        f"""curl -s {control}/_sandbox/faults -d '{{"kind": "status", "status": 500, "count": 3}}'""",
    ]


def _here(program: str) -> str:
    """A program of this installation, by its path where the shell would not find it."""
    beside = Path(sys.executable).parent / program
    return str(beside) if beside.is_file() and shutil.which(program) is None else program


def _psql(world: World) -> str:
    """The embedded server's own, where it came with one."""
    own = world.bin_dir / "psql"
    return str(own) if own.is_file() else "psql"
