"""``soldt-outbox demo`` and ``soldt-outbox sandbox``: the world is made, something happens in it, and it goes away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

import psycopg

from sandbox.demo import report
from sandbox.demo.checks import check_all
from sandbox.demo.chronicle import Chronicle
from sandbox.demo.facts import gather
from sandbox.demo.narrator import Narrator
from sandbox.demo.scenes import SCENES
from sandbox.demo.soldt import Soldt
from sandbox.demo.stage import SceneFailed, Stage, store
from sandbox.demo.usage import instructions
from sandbox.demo.world import World
from sandbox.omnisend import StandInError
from sandbox.postgrest import SupabaseApi, find_postgrest
from sandbox.shops import SHOPS
from soldt_outbox.errors import OutboxError

HELD: Final = 0
BROKEN: Final = 1
CANNOT_START: Final = 2
INTERRUPTED: Final = 130

_LOG_LINES: Final = 15


def run_demo(*, keep: bool = False) -> int:
    """The whole way a row goes, with everything going wrong on it; then whether what had to hold did.

    Returns 0 when every expectation held, 1 when one did not, 2 when the world cannot be made on this machine, 130
    after Ctrl-C. With ``keep`` the world stays until Ctrl-C, and the result is still the expectations'.
    """
    narrator = Narrator()
    narrator.title(
        "soldt-outbox demo: from an order in PostgreSQL to an event at Omnisend, past everything that goes wrong"
    )
    return _in_a_world(narrator, lambda world: _demo(world, narrator, keep=keep))


def run_sandbox(*, worker: bool = False, data_dir: Path | None = None) -> int:
    """The same world with three connected merchants, left running until Ctrl-C. Prints how to use it.

    Args:
        worker: start a worker too.
        data_dir: keep the database here, and go on with what an earlier run left in it.
    """
    narrator = Narrator()
    narrator.title(
        "soldt-outbox sandbox: a database like Supabase's, SOLDT's tables, and a stand-in for Omnisend"
    )
    return _in_a_world(narrator, lambda world: _sandbox(world, narrator, worker=worker), data_dir=data_dir)


def _in_a_world(narrator: Narrator, play: Callable[[World], int], data_dir: Path | None = None) -> int:
    with _interruptible():
        try:
            with World() as world:
                try:
                    _make(world, narrator, data_dir)
                except RuntimeError as error:  # SandboxError, or the stand-in's
                    narrator.say(f"This world cannot be made here: {error}", style="red")
                    return CANNOT_START
                return play(world)
        except KeyboardInterrupt:
            narrator.say("Stopped. Nothing is left behind.")
            return INTERRUPTED


def _make(world: World, narrator: Narrator, data_dir: Path | None) -> None:
    where = "in temporary directories" if data_dir is None else f"with its data in {data_dir}"
    narrator.scene(
        "A world from nothing",
        f"It runs on this machine alone, {where} and on free ports, and stops when this does.",
    )
    with narrator.waiting("Starting PostgreSQL ..."):
        server = world.start_database(data_dir)
    narrator.say(
        f"PostgreSQL {server.major} runs, with Supabase's roles, SOLDT's tables and this project's {world.migrations} migrations."
    )
    with narrator.waiting("Starting the stand-in for Omnisend ..."):
        world.start_omnisend()
    narrator.say(
        "A stand-in for Omnisend runs. It is strict: what Omnisend would silently ignore, it reports as a finding."
    )


def _demo(world: World, narrator: Narrator, *, keep: bool) -> int:
    with (
        world.database.connect(autocommit=True) as operator,
        Soldt(world.database, chronicle := Chronicle()) as soldt,
    ):
        stage = Stage(world=world, soldt=soldt, narrator=narrator, operator=operator, chronicle=chronicle)
        broken_off = _play(stage)
        found = gather(world, soldt)
        checks = check_all(chronicle, found)
        if not broken_off:
            report.show(narrator, chronicle, found, soldt)
        report.show_checks(narrator, checks)
    held = not broken_off and all(check.held for check in checks)
    _conclude(world, narrator, [check.held for check in checks], broken_off)
    if keep:
        narrator.heading("The world is left running, as --keep asks, until Ctrl-C")
        _leave_running(world, narrator)
    return HELD if held else BROKEN


def _play(stage: Stage) -> str | None:
    """Scene after scene. What broke it off, if anything did: what is found then is still worth judging."""
    for scene in SCENES:
        try:
            scene(stage)
        except (SceneFailed, LookupError, OutboxError, StandInError, psycopg.Error) as error:
            sentence = f"{scene.__name__.replace('_', ' ')}: {error}"
            stage.narrator.say(f"Broken off at {sentence}", style="bold red")
            return sentence
    return None


def _conclude(world: World, narrator: Narrator, held: list[bool], broken_off: str | None) -> None:
    narrator.gap()
    if all(held) and not broken_off:
        narrator.say(f"All {len(held)} expectations held.", style="bold green")
        return
    if broken_off:
        narrator.say(f"The demo was broken off at {broken_off}.", style="bold red")
    narrator.say(f"{held.count(False)} of {len(held)} expectations did not hold.", style="bold red")
    for worker in world.workers:
        narrator.say(f"The log of {worker.name} ends with:")
        narrator.raw(worker.tail(_LOG_LINES))


def _sandbox(world: World, narrator: Narrator, *, worker: bool) -> int:
    for shop in SHOPS:
        world.connect(shop, world.key_of(shop))
    narrator.say(f"{', '.join(map(store, SHOPS))} are connected.")
    if worker:
        world.start_workers(1)
        narrator.say(f"A worker runs; its log: {world.workers[0].log}")
    _leave_running(world, narrator)
    return HELD


def _leave_running(world: World, narrator: Narrator) -> None:
    """Print how to use the world, and wait for Ctrl-C."""
    with ExitStack() as parts:
        api = parts.enter_context(SupabaseApi(world.database)) if find_postgrest() else None
        narrator.raw(instructions(world, api))
        narrator.heading("Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    narrator.say("Stopped.")


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does: everything that was started is stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
