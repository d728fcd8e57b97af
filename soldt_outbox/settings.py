"""Every setting, with its default and what it does. ``.env.example`` lists the same; a test compares them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, Self

from pydantic import Field, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from soldt_outbox.errors import ConfigurationError

MAX_PROCESSES: Final = 64


class Settings(BaseSettings):
    """Read from the environment (and from ``.env`` in the working directory, which the environment overrides)."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, case_sensitive=False, hide_input_in_errors=True
    )

    database_url: SecretStr = Field(
        description="PostgreSQL. On Supabase from a dyno: the session pooler, port 5432; the transaction pooler, 6543, works too."
    )
    outbox_encryption_keys: SecretStr = Field(
        default=SecretStr(""),
        description="`kid:base64key,…`, 32 bytes each; the first encrypts, all open. `soldt-outbox keygen` makes one.",
    )
    omnisend_base_url: str = Field(default="https://api.omnisend.com", description="Where Omnisend is.")
    omnisend_api_version: Literal["v5", "2026-03-15"] = Field(
        default="v5", description="Which of Omnisend's dialects to speak."
    )
    omnisend_oauth_client_id: str = Field(
        default="",
        description="For `connect --oauth`: the client id that Omnisend gave this installation. Empty: API keys only.",
    )
    omnisend_oauth_client_secret: SecretStr = Field(
        default=SecretStr(""), description="Its secret. Empty for a public client, which PKCE alone protects."
    )
    omnisend_oauth_url: str = Field(
        default="https://app.omnisend.com", description="Where Omnisend's OAuth endpoints are."
    )
    omnisend_requests_per_minute: PositiveInt = Field(
        default=400,
        description="Omnisend's limit per brand, shared with the merchant's other apps. The worker uses at most 90 % of it.",
    )
    storefront_url: str = Field(
        default="https://soldt.co.za/s/{slug}",
        description="A shop's address where it has no custom domain; {slug} is the merchant's.",
    )
    worker_concurrency: int = Field(
        default=64, ge=1, le=1000, description="Requests under way at once, per process."
    )
    worker_processes: int = Field(
        default=1,
        ge=1,
        le=MAX_PROCESSES,
        description="Processes that `python -m worker` starts: one for each core, as each is bound by one. Three connections each.",
    )
    worker_wake_up: Literal["poll", "notify"] = Field(
        default="poll",
        description="How workers learn of new rows. notify: at once, for a lock in every order's commit; first `soldt-outbox wake-up on`.",
    )
    listen_database_url: SecretStr = Field(
        default=SecretStr(""),
        description="With notify: a direct or session-mode connection to listen on, where DATABASE_URL is none.",
    )
    lease_seconds: int = Field(
        default=60,
        ge=30,
        le=3600,
        description="After this long without renewal another worker takes a row over.",
    )
    shutdown_seconds: int = Field(
        default=20,
        ge=1,
        le=25,
        description="How long SIGTERM waits for requests under way; the platform kills after 30.",
    )
    retention_days: int = Field(
        default=30, ge=7, le=3650, description="How long settled rows stay, as the ledger against duplicates."
    )
    log_retention_days: int = Field(
        default=30, ge=1, le=3650, description="How long rows of integrations_omnisend_logs stay."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="Program logs: json, console, or console only at a terminal."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Program logs: the least to show."
    )

    @field_validator("storefront_url")
    @classmethod
    def _has_a_slug(cls, value: str) -> str:
        if "{slug}" not in value or not value.startswith(("https://", "http://")):
            raise ValueError("must be a URL with {slug} in it, such as https://soldt.co.za/s/{slug}")
        return value.rstrip("/")

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @classmethod
    def load(cls) -> Self:
        """The settings of this process. Raises ``ConfigurationError`` that names each one that is wrong."""
        try:
            return cls()
        except ValidationError as error:
            problems = "; ".join(
                f"{str(problem['loc'][0]).upper()} {_in_words(problem['type'], problem['msg'])}"
                for problem in error.errors(include_input=False, include_url=False)
            )
            raise ConfigurationError(f"{problems}. See .env.example for every setting.") from None


def _in_words(kind: str, message: str) -> str:
    if kind == "missing":
        return "is not set"
    return "is wrong: " + message.removeprefix("Value error, ")
