import importlib.metadata
import subprocess
import sys
from pathlib import Path

import soldt_outbox
from soldt_outbox.events import EVENTS

ROOT = Path(__file__).parents[2]


def test_the_version_is_the_packages():
    assert soldt_outbox.__version__ == importlib.metadata.version("soldt-outbox")


def test_all_is_there_and_complete():
    assert all(hasattr(soldt_outbox, name) for name in soldt_outbox.__all__)
    assert {"CustomEvent", *(event.__name__ for event in EVENTS.values())} < set(soldt_outbox.__all__)


def test_importing_the_library_brings_neither_the_extra_nor_the_worker():
    """SOLDT's web process pays for what it uses."""
    unwanted = {"postgrest", "supabase", "aiohttp", "typer", "rich", "worker", "sandbox", "cli"}
    program = f"import sys, soldt_outbox; print(sorted({unwanted!r} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert said.stdout == "[]\n"


def test_the_example_of_its_use_is_typed():
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "tests/unit/public_api_example.py"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
