import re

import pytest
from typer.testing import CliRunner

import soldt_outbox
from cli.main import app
from cli.playing import _demo_module
from cli.terminal import Failure, duration, plain

# The names that stay.
COMMANDS = [
    "migrate",
    "connect",
    "configure",
    "disconnect",
    "resync",
    "backfill",
    "reconcile",
    "status",
    "logs",
    "dead",
    "retry",
    "forget",
    "keygen",
    "rotate-keys",
    "encrypt-credentials",
    "prune",
    "wake-up",
    "sandbox",
    "demo",
]
TALKS_TO_SCRIPTS = set(COMMANDS) - {"keygen", "sandbox", "demo"}


def help_of(*command: str) -> str:
    said = CliRunner().invoke(
        app, [*command, "--help"], env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
    )
    assert said.exit_code == 0
    return said.output


def test_the_commands_are_these():
    registered = [command.name for command in app.registered_commands]
    assert registered == COMMANDS
    text = help_of()
    assert all(re.search(rf"^│ {command} ", text, re.MULTILINE) for command in COMMANDS)
    assert "Exit codes:" in text
    assert "To begin:" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_examples_and_exit_codes(command: str):
    text = help_of(command)
    assert "Examples:" in text
    assert f"soldt-outbox {command}" in text.partition("Examples:")[2]
    assert re.search(r"Exit codes: 0 \w+", text)
    assert ("--json" in text) is (command in TALKS_TO_SCRIPTS)


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_fit_a_narrow_terminal(command: str):
    registered = next(c for c in app.registered_commands if c.name == command)
    examples = (registered.callback.__doc__ or "").partition("Examples:")[2].partition("\n\n")[0]
    assert all(len(line.strip()) <= 76 for line in examples.splitlines())


def test_connect_takes_no_key_but_on_stdin():
    text = help_of("connect")
    assert "standard input" in text
    assert "[ARGS]" not in text
    assert not re.search(r"--(api-)?key|env var", text)


def test_the_version_is_the_packages():
    said = CliRunner().invoke(app, ["--version"])
    assert said.output == f"soldt-outbox {soldt_outbox.__version__}\n"


def test_an_unknown_command_is_2():
    assert CliRunner().invoke(app, ["explode"]).exit_code == 2


def test_without_the_sandbox_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(Failure, match=r"soldt-outbox\[sandbox\]") as failed:
        _demo_module()
    assert failed.value.code == 2


def test_control_characters_become_blanks():
    assert plain("a\x1b[2Jb\nc\u202ed\u00e9") == "a [2Jb c d\u00e9"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (200_000, "2 d")],
)
def test_durations_read_well(seconds: float | None, words: str):
    assert duration(seconds) == words
