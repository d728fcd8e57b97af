"""Random histories of the outbox on a real PostgreSQL, checked step by step against a reference in plain Python.

``OUTBOX_PROPERTY_PROFILE=thorough pytest tests/property --timeout=0`` tries as many as a night allows, other ones each
time.
"""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sandbox.world import Database
from tests.property.machine import OutboxProtocol, on

_THOROUGH = os.environ.get("OUTBOX_PROPERTY_PROFILE") == "thorough"


def _search(examples: int) -> settings:
    return settings(
        max_examples=20_000 if _THOROUGH else examples,
        stateful_step_count=100 if _THOROUGH else 40,
        derandomize=not _THOROUGH,
        database=None,
        deadline=None,
        # No explaining: it runs the failing history hundreds of times more.
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


def test_any_history_ends_as_the_reference_says(shared_database: Database) -> None:
    run_state_machine_as_test(on(OutboxProtocol, shared_database), settings=_search(80))


def test_it_does_so_on_the_older_major(second_database: Database) -> None:
    run_state_machine_as_test(on(OutboxProtocol, second_database), settings=_search(30))
