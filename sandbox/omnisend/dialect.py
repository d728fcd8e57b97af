"""The versions of Omnisend's API and everything in which they differ; what is not named here is the same in all.

Sources: DOCS/docs/migrate-from-v5-to-v2026-03-15 and the OpenAPI files of version 2026-03-15, where DOCS is
https://api-docs.omnisend.com; for version 5 the pages under DOCS/v5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import msgspec

from sandbox.omnisend.model import Finding, Severity

Headers = Mapping[str, str]
"""As aiohttp gives them: names in any case."""

DialectName = Literal["v5", "2026-03-15"]
VERSION_HEADER: Final = "Omnisend-Version"


class Credential(msgspec.Struct, frozen=True, gc=False):
    """What a request shows to be let in: an API key, or an access token of the OAuth flow."""

    scheme: Literal["key", "token"]
    secret: str

    def __repr__(self) -> str:
        return f"Credential({self.scheme})"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A version of the API, as far as it differs from the others."""

    name: DialectName
    root: str
    """What the path of every resource begins with, up to and with the slash."""
    credential: Callable[[Headers], Credential | None]
    version_header: bool
    """Whether each request must name the version in a header."""
    problems: bool
    """Whether every error is an RFC 9457 problem; else only the gateway's are, and the rest `{error, fields}`."""
    unknown_parameter: Severity
    """What becomes of a query parameter that the endpoint does not have."""
    event_time_with_space: bool
    """Whether `YYYY-MM-DD HH:MM:SS±HH:MM` is an eventTime too."""
    contact_id: str
    """What a contact's id is called in answers."""
    status_date: str
    """What the instant of a channel's status is called, ..."""
    status_date_listed: str
    """... what in the `statuses` of an answer, ..."""
    opt_in_date: str
    """... and what that of an opt-in."""
    welcome_of_contact: str | None
    """The field beside the identifiers that asks for a welcome message to all of them, if there is one."""
    welcome_default: bool
    """Whether a contact that becomes subscribed is welcomed when the request does not say."""
    cursors: bool
    """Whether a list of contacts is continued with a cursor; else with the URL of the next page."""
    max_batch_items: int
    """How many items one batch may have."""
    exists_status: int
    """What creating a product or category that is there already is answered with."""
    delete_unknown_status: int
    """What deleting one that is not there is answered with."""


def _api_key(headers: Headers) -> Credential | None:
    key = headers.get("X-API-KEY")
    return None if key is None else Credential("key", key)


def _authorization(headers: Headers) -> Credential | None:
    """`Omnisend-API-Key <key>` or `Bearer <token>`; a scheme is read in any case (RFC 9110, section 11.1)."""
    scheme, _, secret = headers.get("Authorization", "").partition(" ")
    match scheme.lower():
        case "omnisend-api-key":
            return Credential("key", secret.strip())
        case "bearer":
            return Credential("token", secret.strip())
        case _:
            return None


V5: Final = Dialect(
    name="v5",
    root="/v5/",
    # The current page on tokens shows them with the version header alone (DOCS/reference/oauth). An older page has them for
    # this version too; here they are refused, so that one that is sent by mistake is noticed.
    credential=_api_key,
    version_header=False,
    problems=False,
    unknown_parameter="ignored",
    event_time_with_space=False,
    contact_id="contactID",
    status_date="statusDate",
    status_date_listed="date",
    opt_in_date="date",
    welcome_of_contact="sendWelcomeEmail",
    welcome_default=False,
    cursors=False,
    max_batch_items=1_000,
    # In a recording of version 3: 422 with "Product with 'x' productID already exists" (stovendo-com/omnisend-sdk).
    exists_status=422,
    delete_unknown_status=404,
)
V2026_03_15: Final = Dialect(
    name="2026-03-15",
    root="/api/",
    credential=_authorization,
    version_header=True,
    problems=True,
    unknown_parameter="rejected",
    event_time_with_space=True,
    contact_id="id",
    status_date="statusChangedAt",
    status_date_listed="statusChangedAt",
    opt_in_date="optInAt",
    welcome_of_contact=None,
    welcome_default=True,
    cursors=True,
    max_batch_items=100,
    exists_status=409,
    delete_unknown_status=204,
)

DIALECTS: Final = (V5, V2026_03_15)
_RELEASES: Final = (date(2026, 3, 15),)


def dialect_of(path: str) -> Dialect | None:
    """The version whose paths begin like this one."""
    for dialect in DIALECTS:
        if path.startswith(dialect.root):
            return dialect
    return None


def version_finding(dialect: Dialect, headers: Headers) -> Finding | None:
    """What is wrong with the version a request names, in a dialect that asks for one.

    A date between two releases means the earlier one (OpenAPI file of the Event Metadata API), so only a date before
    the first release, and what is no date at all, is unknown. `2026-preview` holds nothing a shop sends.
    """
    if not dialect.version_header:
        return None
    named = headers.get(VERSION_HEADER)
    if not named:
        return Finding("rejected", "version_missing", VERSION_HEADER, "is required on every request")
    try:
        asked = date.fromisoformat(named) if len(named) == 10 else None
    except ValueError:
        asked = None
    if asked is None or asked < _RELEASES[0]:
        return Finding("rejected", "version_unknown", VERSION_HEADER, "is no version of this API")
    return None
