"""Supabase's own advisors, security and performance, find nothing to warn of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox.world import Database
from tests.support.programs import SupabaseCli


@pytest.mark.both_majors
@pytest.mark.both_regimes
@pytest.mark.parametrize("legacy", [False, True], ids=["fresh", "legacy"])
def test_the_advisors_have_nothing_to_warn_of(
    make_database: Callable[..., Database], supabase_cli: SupabaseCli, legacy: bool
) -> None:
    assert supabase_cli.advisors(make_database(legacy=legacy), level="warn") == []


def test_they_remark_nothing_but_indexes_that_a_new_database_has_not_used(
    database: Database, supabase_cli: SupabaseCli
) -> None:
    remarks = [
        finding for finding in supabase_cli.advisors(database, level="info") if "omnisend" in str(finding)
    ]
    assert {finding["name"] for finding in remarks} <= {"unused_index"}
