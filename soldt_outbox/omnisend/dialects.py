"""The versions of Omnisend's API that this project speaks, and everything in which they differ.

Sources: Omnisend's v5 reference; "Migrate from v5 to 2026-03-15"; the OpenAPI files of 2026-03-15. Events and the
catalogue are told alike in both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ErrorFormat(StrEnum):
    """How an error body reads."""

    FIELDS = "fields"  # {"error": "…", "fields": {"contact.email": "…"}}
    PROBLEM = "problem"  # RFC 9457: {type, title, status, detail, instance, errors: [{field, code, message}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One version of the API. ``version`` is the value of the setting ``OMNISEND_API_VERSION``."""

    version: str
    base_path: str
    auth_header: str
    auth_prefix: str
    version_header: tuple[str, str] | None
    error_format: ErrorFormat
    max_batch_items: int
    status_changed_field: str  # of a contact's channel
    contact_welcome_field: str | None  # beside the identifiers, each of which has sendWelcomeMessage in both

    def auth_headers(self, api_key: str) -> list[tuple[str, str]]:
        """The headers that say who asks and in which version. The first one is secret."""
        headers = [(self.auth_header, self.auth_prefix + api_key)]
        if self.version_header is not None:
            headers.append(self.version_header)
        return headers


V5: Final = Dialect(
    version="v5",
    base_path="/v5",
    auth_header="X-API-KEY",
    auth_prefix="",
    version_header=None,
    error_format=ErrorFormat.FIELDS,
    max_batch_items=1_000,
    status_changed_field="statusDate",
    contact_welcome_field="sendWelcomeEmail",
)

V2026_03_15: Final = Dialect(
    version="2026-03-15",
    base_path="/api",
    auth_header="Authorization",
    auth_prefix="Omnisend-API-Key ",
    version_header=("Omnisend-Version", "2026-03-15"),
    error_format=ErrorFormat.PROBLEM,
    max_batch_items=100,
    status_changed_field="statusChangedAt",
    contact_welcome_field=None,
)

BEARER: Final = replace(V2026_03_15, auth_prefix="Bearer ")
"""The dialect of access tokens, whatever OMNISEND_API_VERSION says: the current version. The reference of v5 has tokens too."""

DIALECTS: Final = MappingProxyType({dialect.version: dialect for dialect in (V5, V2026_03_15)})
"""Every dialect by its version."""
