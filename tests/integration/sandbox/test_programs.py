"""The programs that judge a database from outside see what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.world import Database
from tests.support.programs import PgProve, SupabaseCli


@pytest.mark.world(migrations=False)
def test_the_advisors_find_nothing_in_the_shop_itself(database: Database, supabase_cli: SupabaseCli) -> None:
    assert supabase_cli.advisors(database) == []


@pytest.mark.world(migrations=False)
def test_the_advisors_find_an_open_table(database: Database, supabase_cli: SupabaseCli) -> None:
    with database.connect() as conn:
        conn.execute("create table public.open_to_all (id bigint primary key)")
    assert "rls_disabled_in_public" in {finding["name"] for finding in supabase_cli.advisors(database)}


def test_pg_prove_tells_right_from_wrong(pg_prove: PgProve, tmp_path: Path) -> None:
    for name, claim in (
        ("right", "has_table('public', 'orders', '')"),
        ("wrong", "has_table('public', 'ordres', '')"),
    ):
        (tmp_path / f"{name}.sql").write_text(
            f"begin; select plan(1); select {claim}; select * from finish(); rollback;"
        )
    assert pg_prove(tmp_path / "right.sql").returncode == 0
    assert pg_prove(tmp_path / "wrong.sql").returncode != 0
