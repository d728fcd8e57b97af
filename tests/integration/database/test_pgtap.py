"""The pgTAP tests of ``supabase/tests`` pass, where ``supabase test db`` needs Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.programs import PgProve

_SUPABASE = Path(__file__).parents[3] / "supabase"
_FILES = sorted((_SUPABASE / "tests").rglob("*.sql"))


def test_there_are_pgtap_tests() -> None:
    assert len(_FILES) >= 3


@pytest.mark.parametrize("seeded", [False, True], ids=["empty", "seeded"])
def test_pg_prove_finds_nothing_wrong(pg_prove: PgProve, seeded: bool) -> None:
    """As ``supabase test db`` finds a local stack: with the seed in it, or without."""
    if seeded:
        with pg_prove.database.connect() as conn:
            conn.execute((_SUPABASE / "seed.sql").read_text())  # type: ignore[call-overload]
    done = pg_prove(*_FILES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Result: PASS" in done.stdout
