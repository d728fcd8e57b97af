import re
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from soldt_outbox.errors import ConfigurationError
from soldt_outbox.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
_ENTRY = re.compile(r"((?:^# .*\n)+)^([A-Z_]+)=(.*)\n", re.MULTILINE)


def described() -> dict[str, tuple[str, str]]:
    """Each setting of .env.example: its description, and its value."""
    return {
        name: (" ".join(line.removeprefix("# ") for line in comment.splitlines()), value)
        for comment, name, value in _ENTRY.findall(EXAMPLE.read_text(encoding="utf-8"))
    }


def as_text(default: object) -> str:
    return default.get_secret_value() if isinstance(default, SecretStr) else str(default)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_the_example_has_every_setting_in_its_order_and_no_other():
    assert list(described()) == [name.upper() for name in Settings.model_fields]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_example_has_the_same_description_and_default(name: str):
    field = Settings.model_fields[name]
    description, value = described()[name.upper()]
    assert description == field.description
    if field.is_required():
        assert value, "an example of what has no default"
    else:
        assert value == as_text(field.default)


def test_the_example_is_a_file_of_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".env").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    settings = Settings.load()
    assert as_text(settings.database_url) == dotenv_values(EXAMPLE)["DATABASE_URL"]
    for name, field in Settings.model_fields.items():
        if not field.is_required():
            assert getattr(settings, name) == field.default


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://file/x\nLEASE_SECONDS=90\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment/x")
    settings = Settings.load()
    assert as_text(settings.database_url) == "postgresql://environment/x"
    assert settings.lease.total_seconds() == 90


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres:geheim@localhost/x")
    monkeypatch.setenv("OUTBOX_ENCRYPTION_KEYS", "k1:geheim")
    assert "geheim" not in repr(Settings.load())


def test_every_wrong_setting_is_named_and_none_is_repeated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORKER_CONCURRENCY", "geheim")
    monkeypatch.setenv("STOREFRONT_URL", "https://geheim.example")
    with pytest.raises(ConfigurationError) as wrong:
        Settings.load()
    message = str(wrong.value)
    assert "DATABASE_URL is not set" in message
    assert "WORKER_CONCURRENCY is wrong" in message
    assert "STOREFRONT_URL is wrong: must be a URL with {slug}" in message
    assert ".env.example" in message
    assert "geheim" not in message
