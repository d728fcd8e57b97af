"""`soldt-outbox demo` and `sandbox`, as a stranger runs them: what they print, how they end, what they leave behind."""

from __future__ import annotations

import signal
import subprocess

import httpx
import psycopg
import pytest

from sandbox.demo import run_demo, scenes
from sandbox.demo.scenes import SCENES, merchants_connect
from sandbox.demo.stage import SceneFailed, Stage
from tests.integration.demo.conftest import Playground

pytestmark = pytest.mark.timeout(240)


def test_the_demo_holds_what_it_promises_and_leaves_nothing_behind(playground: Playground) -> None:
    demo = playground.start("demo")
    said, _ = demo.communicate(timeout=180)
    assert demo.returncode == 0, said
    for merchant in ("Protea & Co", "Karoo Leather", "Bo-Kaap Spices"):
        assert said.count(f"\n   {merchant} ") == 2  # in both tables
    for expected in (
        "no***@example.com",  # the log row, masked
        "Karoo Leather's admin asks for the same row and sees nothing.",
        "items: is text, not a list of line items",
        "expectations held.",
    ):
        assert expected in said
    assert "✘" not in said
    assert "\x1b" not in said  # plain lines where there is no terminal
    assert playground.left_behind() == []


def test_a_demo_that_is_stopped_half_way_leaves_nothing_behind(playground: Playground) -> None:
    demo = playground.start("demo")
    _read_until(demo, "is dead. Its leases run out")
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=30)
    assert demo.returncode == 130, said
    assert "Nothing is left behind." in said
    assert playground.left_behind() == []


def test_a_demo_that_is_killed_leaves_no_process_behind(playground: Playground) -> None:
    demo = playground.start("demo")
    _read_until(demo, "is dead. Its leases run out")
    demo.kill()
    demo.communicate(timeout=30)
    assert playground.left_behind() == []


def test_a_scene_that_fails_is_told_with_the_workers_logs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_stage: Stage) -> None:
        raise SceneFailed("it did not come")

    monkeypatch.setattr("sandbox.demo.run.SCENES", (merchants_connect, scenes.workers_start, fails))
    assert run_demo() == 1
    said = capsys.readouterr().out
    assert "it did not come" in said
    assert "The log of worker.1 ends with:" in said
    assert '"event":"started"' in said.replace(" ", "")


def test_an_expectation_that_does_not_hold_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def an_order_that_was_never_placed(stage: Stage) -> None:
        key = next(iter(stage.chronicle.occurrences))
        stage.chronicle.happened(key._replace(dedup_key="never-placed"), customer="nobody@example.com")

    played = (*SCENES[:3], an_order_that_was_never_placed)
    monkeypatch.setattr("sandbox.demo.run.SCENES", played)
    assert run_demo() == 1
    said = capsys.readouterr().out
    assert "never-placed is there 0 times" in said
    assert "did not hold" in said


def test_the_sandbox_can_be_used_as_it_says(playground: Playground) -> None:
    sandbox = playground.start("sandbox")
    said = _read_until(sandbox, "Ctrl-C ends it")
    lines = said.splitlines()
    anon = next(line.split()[1] for line in lines if line.startswith("  anon "))
    admin = next(line.split()[2] for line in lines if line.startswith("  protea's admin "))
    control = next(line.split()[-1] for line in lines if "what it can be asked and told" in line)
    with psycopg.connect(anon) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("select from public.integrations_omnisend_logs")
    with psycopg.connect(admin) as conn:
        assert conn.execute("select status from public.integrations_omnisend_status").fetchall() == [
            ("connected",)
        ]
    assert "GET /_sandbox/received" in httpx.get(control, trust_env=False).text
    sandbox.send_signal(signal.SIGTERM)
    sandbox.communicate(timeout=30)
    assert sandbox.returncode == 0
    assert playground.left_behind() == []


def _read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in " ".join(said.split()):
            return said
    raise AssertionError(f"it ended without saying {words!r}: {said}")
