"""How to use a world that is left running: addresses, what to export, what to try."""

from __future__ import annotations

import json
from collections.abc import Iterable
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
        f"  protea's admin  {api.user_token(PROTEA.owner_id)}",
        "",
    ]


_ORDER: Final = """\
insert into orders (merchant_id, customer_email, customer_name, shipping_address, items, subtotal, total, payment_method)
values ('{merchant_id}', 'me@example.com', 'Me Myself', '{{"address": "1 Long Street", "city": "Cape Town"}}',
  '[{{"product_id": 102, "title": "Enamel mug", "quantity": 1, "price": 149.5}}]', 149.5, 149.5, 'card');"""


def _examples(world: World) -> list[str]:
    control = world.omnisend.control_url
    return [
        "# order a mug, as a browser does",
        f"{_psql(world)} '{dict(_database_urls(world))['anon']}' <<'SQL'",
        _ORDER.format(merchant_id=PROTEA.merchant_id),
        "SQL",
        "# see what became of it (it waits until a worker runs: python -m worker)",
        "soldt-outbox status; soldt-outbox logs --merchant protea",
        "# see what Omnisend received, and what it would have objected to",
        f"curl -s '{control}/_sandbox/received?limit=5'",
        "# let Omnisend refuse the next three requests",
        f"""curl -s {control}/_sandbox/faults -d '{{"kind": "status", "status": 429, "count": 3}}'""",
    ]


def _psql(world: World) -> str:
    """The embedded server's own, where it came with one."""
    own = world.bin_dir / "psql"
    return str(own) if own.is_file() else "psql"
