"""What a worker does beside sending: syncs carried on, and warnings that an operator is to act upon."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from soldt_outbox.settings import Settings
from tests.support.worker import Signals
from worker.maintenance import MANY_DEAD_TUPLES, OLD_SNAPSHOT_S, Maintenance

WELL = {"oldest_snapshot_seconds": 1.0, "dead_tuples": 10, "live_tuples": 1_000, "idle_indexes": []}


class Surroundings:
    """Syncs that are written in two calls each, a store that is as healthy as it is told, and a claimer."""

    mean_claim_ms = 2.0
    last_success = 0.0

    def __init__(self, **health: Any) -> None:
        self.health_now = WELL | health
        self.to_write = {1: 2, 2: 2, 3: 2}
        self.failing: dict[int, Exception] = {}
        self.finished = 0

    async def unwritten(self) -> list[int]:
        return [sync for sync, calls in self.to_write.items() if calls]

    async def write(self, sync: int) -> bool:
        if sync in self.failing:
            raise self.failing[sync]
        self.to_write[sync] -= 1
        return self.to_write[sync] > 0

    async def finish(self) -> list[int]:
        self.finished += 1
        return []

    async def write_polls(self) -> None:
        return None

    async def health(self) -> dict[str, Any]:
        return self.health_now


def _maintenance(around: Surroundings) -> Maintenance:
    return Maintenance(
        around,  # type: ignore[arg-type]
        Settings(_env_file=None, database_url="postgresql://x", outbox_encryption_keys="k"),
        Signals(),
        [],  # type: ignore[arg-type]
        around,  # type: ignore[arg-type]
        database=around,  # type: ignore[arg-type]
        syncs=around,  # type: ignore[arg-type]
        worker_id="test",
        version="0",
    )


async def _warnings(around: Surroundings) -> list[str]:
    with capture_logs() as lines:
        await _maintenance(around).look_at_health()
    return [line["event"] for line in lines if line["log_level"] == "warning"]


async def test_syncs_that_nobody_finished_writing_are_written() -> None:
    around = Surroundings()
    await _maintenance(around).carry_on_syncs()
    assert around.to_write == {1: 0, 2: 0, 3: 0}
    assert around.finished == 1


@pytest.mark.parametrize(
    "error",
    [psycopg.errors.UndefinedTable("collections"), psycopg.errors.QueryCanceled("15 s")],
    ids=lambda error: type(error).__name__,
)
async def test_a_sync_that_cannot_be_written_keeps_no_other_merchants_from_it(error: Exception) -> None:
    around = Surroundings()
    around.failing[2] = error
    with capture_logs() as lines:
        await _maintenance(around).carry_on_syncs()
    assert around.to_write == {1: 0, 2: 2, 3: 0}
    assert around.finished == 1
    assert [(line["sync"], line["log_level"]) for line in lines if "sync" in line] == [(2, "error")]


async def test_a_database_out_of_reach_is_not_asked_for_each_sync() -> None:
    around = Surroundings()
    around.failing[1] = psycopg.OperationalError("gone")
    with pytest.raises(psycopg.OperationalError):
        await _maintenance(around).carry_on_syncs()
    assert around.to_write == {1: 2, 2: 2, 3: 2}


async def test_a_healthy_table_gives_no_warning() -> None:
    assert await _warnings(Surroundings()) == []


@pytest.mark.parametrize(
    ("health", "says"),
    [
        ({"oldest_snapshot_seconds": OLD_SNAPSHOT_S + 1}, "somebody holds an old snapshot"),
        ({"dead_tuples": 2 * MANY_DEAD_TUPLES, "live_tuples": MANY_DEAD_TUPLES}, "many dead tuples"),
        ({"idle_indexes": ["integrations_omnisend_outbox_due_idx"]}, "indexes of the outbox are missing"),
    ],
    ids=["old snapshot", "dead tuples", "indexes"],
)
async def test_an_ill_one_gives_a_warning(health: dict[str, Any], says: str) -> None:
    (warning,) = await _warnings(Surroundings(**health))
    assert says in warning
