"""What the stand-in tells and is told: the shapes of its control endpoints, shared by server and client."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

Severity = Literal["rejected", "ignored"]
"""`rejected`: Omnisend answers 400. `ignored`: it answers 202 and the value, or the whole event, has no effect."""

WaitFor = Literal["received", "settled", "accepted", "unique", "batches"]
"""What can be counted and waited for.

`received`: every request at the API, whatever came of it. `settled`: those that are over, answered or not. `accepted`: events Omnisend has taken in, also when the
answer never reached the client; those in batches are among them. `unique`: the different eventIDs among the accepted.
`batches`: those that are over, finished or stopped.
"""

FaultKind = Literal[
    "status",
    "delay",
    "hang",
    "reset_on_connect",
    "reset_before_reading",
    "reset_after_reading",
    "half_answer",
    "garbage",
]

Outcome = Literal[
    "pending",
    "answered",
    "client_gone",
    "hang",
    "reset_before_reading",
    "reset_after_reading",
    "half_answer",
    "garbage",
]

PERMISSIONS: Final = frozenset(
    {
        "brands.read",
        "brands.write",
        "contacts.read",
        "contacts.write",
        "events.read",
        "events.write",
        "products.read",
        "products.write",
    }
)
"""What a key may do, as far as a shop integration needs it (scopes of DOCS/reference/oauth)."""


class Finding(msgspec.Struct, frozen=True):
    """One thing Omnisend would reject or silently ignore; `path` is as in `properties.lineItems[0].productPrice`."""

    severity: Severity
    code: str
    path: str
    message: str


_NOT_NEGATIVE: Final = (
    "rate_limit",
    "historical_after_s",
    "max_body_bytes",
    "max_batch_bytes",
    "batch_delay_s",
    "batch_item_delay_s",
    "batch_max_errors",
    "sink_delay_s",
    "token_expires_in",
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the stand-in behaves where the documentation leaves it open, and how much it remembers."""

    rate_limit: int = 400
    """Requests a brand may make in the window, across its keys; 0 switches the limit off."""
    window_s: float = 60.0
    count_refused: bool = False
    """Whether a request answered 429 uses up the window too (undocumented)."""
    retry_after_in_body: bool = True
    """The documentation shows `retryAfter` in some 429 bodies, ..."""
    retry_after_header: bool = False
    """... does not know a Retry-After header, ..."""
    rate_headers: bool = False
    """... and has X-Rate-Limit-* on its older page only."""
    historical_after_s: float = 24 * 3600.0
    """Events older than this count as historical, which are de-duplicated; where Omnisend draws the line is unpublished."""
    max_body_bytes: int = 1 << 20
    """Above it 413. Omnisend declares 413 but no size; its advice for batches is 1 MB."""
    max_batch_bytes: int = 8 << 20
    """The same for the body of a batch, of which 1 MB is advice and not a limit."""
    batch_delay_s: float = 0.0
    """How long a batch is pending before its first item is done, ..."""
    batch_item_delay_s: float = 0.0
    """... and how long it rests after each of them; a change takes effect at once."""
    batch_max_errors: int | None = None
    """With more failed items than this a batch is stopped. Omnisend publishes no number; None: never."""
    max_batches: int = 2_000
    """Batches kept for reading; older ones that are over fall out."""
    max_stored: int = 50_000
    """Requests kept for reading; older ones fall out, the counts stay."""
    max_event_ids: int = 500_000
    """eventIDs remembered for telling duplicates."""
    oauth_refuses: bool = False
    """Whether the merchant says no at the authorize endpoint."""
    token_expires_in: int = 9_223_372_036
    """Seconds an access token holds from now on; the number in DOCS/reference/oauth, which means: until revoked."""
    rotate_refresh_tokens: bool = False
    """Whether each refresh brings another refresh token and spends the old one (undocumented)."""
    platforms: frozenset[str] | None = None
    """Platforms a store may be connected as, which Omnisend enables on request; None: any."""
    any_key: bool = False
    """Take every well-formed key and register its brand at first sight."""
    sink: bool = False
    """For benchmarks: authenticate, count, answer 202; no validation, no limit, no faults, nothing stored."""
    sink_delay_s: float = 0.0
    retired: frozenset[str] = frozenset()
    """Dialects that answer 410, such as `v5`."""

    def __post_init__(self) -> None:
        for name in _NOT_NEGATIVE:
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} must not be negative")
        for name in ("window_s", "max_stored", "max_event_ids", "max_batches"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that goes wrong, for the requests it matches; of several that match, the oldest fires.

    The kinds:
        status: answered with `status`, and the documented body of that status unless `body` is given.
        delay: answered as usual, later.
        hang: read, never answered.
        reset_on_connect: TCP RST straight after accept; matches nothing but every connection.
        reset_before_reading: TCP RST once the headers are there; can match brand and path only.
        reset_after_reading: TCP RST once the whole request is there.
        half_answer: the first half of the answer's bytes, then the end of the stream.
        garbage: bytes that are not HTTP, then the end of the stream.
    """

    kind: FaultKind
    brand: str | None = None
    event_name: str | None = None
    email: str | None = None
    path: str | None = None
    batch_item: bool = False
    """Whether it hits single items of batches, in place of requests: `count=3` the first three, `status` only."""
    item_id: str | None = None
    """The id an item of a batch gives itself: product, category or event id, or a contact's e-mail address."""
    nth: int = 1
    """The first match that is hit, counted from 1 for this fault."""
    count: int | None = None
    """How many times it fires; None: until it is removed."""
    probability: float = 1.0
    seed: int = 0
    """Makes `probability` and a random delay the same in every run."""
    delay_s: float = 0.0
    """Waited before acting, for every kind that has read the request."""
    delay_max_s: float | None = None
    """With it, the delay is drawn evenly from delay_s to delay_max_s."""
    status: int = 500
    body: Any = msgspec.UNSET
    """JSON for the answer of a `status` fault; a string is sent as it stands."""
    headers: dict[str, str] = {}
    processed: bool | None = None
    """Whether Omnisend acts on the request nevertheless.

    Unless said otherwise it does for everything that fails after the request was read (the ambiguous cases a
    sender must live with), and does not for an error status or a reset before reading.
    """

    def __post_init__(self) -> None:
        if self.nth < 1 or (self.count is not None and self.count < 1):
            raise ValueError("nth and count start at 1")
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError("probability lies between 0 and 1")
        if self.delay_s < 0 or (self.delay_max_s is not None and self.delay_max_s < self.delay_s):
            raise ValueError("delay_s must not be negative nor above delay_max_s")
        if not 200 <= self.status <= 599:
            raise ValueError("status lies between 200 and 599")
        self._check_what_can_be_matched()

    def _check_what_can_be_matched(self) -> None:
        needs_body = self.event_name is not None or self.email is not None
        if self.kind in {"reset_on_connect", "reset_before_reading"}:
            if needs_body or self.delay_s:
                raise ValueError(
                    f"{self.kind} happens before the body is read: no event_name, email or delay"
                )
            if self.processed:
                raise ValueError(f"{self.kind}: what was not read cannot be processed")
        if self.batch_item and (self.kind != "status" or self.path is not None):
            raise ValueError("an item of a batch can get a status only, and has no path of its own")
        if self.item_id is not None and not self.batch_item:
            raise ValueError("item_id is for items of batches")
        if self.kind == "reset_on_connect" and (self.brand is not None or self.path is not None):
            raise ValueError(
                "reset_on_connect happens before any request: it can match neither brand nor path"
            )

    @property
    def acts(self) -> bool:
        """Whether the request is processed although the fault fires."""
        if self.processed is not None:
            return self.processed
        if self.kind == "status":
            return self.status < 300
        return self.kind not in {"reset_on_connect", "reset_before_reading"}


class FaultView(msgspec.Struct, frozen=True):
    """A fault in force: `seen` requests matched it, `fired` of them were hit."""

    id: int
    fault: Fault
    seen: int
    fired: int


class KeySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key of a brand, `<brandID>-<secret>`; without permissions named, it has all of them."""

    key: str
    permissions: list[str] | None = None


class BrandSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to register or change of a brand; what is left out stays. `keys` replaces all its keys, `[]` revokes them."""

    brandID: str  # noqa: N815 - Omnisend's own spelling
    keys: list[KeySpec] | msgspec.UnsetType = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET
    website: str | msgspec.UnsetType = msgspec.UNSET
    platform: str | msgspec.UnsetType = msgspec.UNSET
    currency: str | msgspec.UnsetType = msgspec.UNSET
    timezone: str | msgspec.UnsetType = msgspec.UNSET
    connected: bool | msgspec.UnsetType = msgspec.UNSET
    payment_required: bool | msgspec.UnsetType = msgspec.UNSET
    rate_limit: int | msgspec.UnsetType | None = msgspec.UNSET


class KeyView(msgspec.Struct, frozen=True):
    key: str
    permissions: list[str]


class BrandView(msgspec.Struct, frozen=True):
    """A brand as the control endpoints show it: keys without their secret part."""

    brandID: str  # noqa: N815 - Omnisend's own spelling
    keys: list[KeyView]
    payment_required: bool
    rate_limit: int | None


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came in, and what became of it."""

    seq: int
    arrived_at: str
    """Wall clock, RFC 3339 UTC."""
    arrived_monotonic: float
    """`time.monotonic()` of the server's machine; comparable with other processes there on Linux."""
    method: str
    path: str
    brand: str | None
    key: str | None
    status: int | None
    """None while it is pending, and where no answer was given."""
    outcome: Outcome
    fault: int | None
    event_name: str | None
    event_id: str | None
    event_time: str | None
    accepted: bool
    duplicate: bool
    """Accepted, and an event with this eventID had been accepted for the brand before."""
    processed: bool
    """Accepted and acted upon: segments change, automations fire. False for a historical duplicate."""
    body: Any
    """The JSON that was sent; text where it was none; None where nothing was sent."""
    body_sha256: str
    findings: list[Finding]


class Tally(msgspec.Struct, kw_only=True):
    """Counts since the start or the last reset."""

    received: int = 0
    accepted: int = 0
    unique: int = 0
    processed: int = 0
    duplicates: int = 0
    batches: int = 0
    """Batches that are over."""
    rejected_findings: int = 0
    ignored_findings: int = 0
    findings: dict[str, int] = {}
    """Per code."""
    statuses: dict[str, int] = {}
    """Per HTTP status; what got no whole answer stands under its outcome."""
    peak_in_window: int = 0
    """The most requests that arrived within any window (60 s unless set otherwise)."""
    first_arrival: float | None = None
    last_arrival: float | None = None


class Summary(msgspec.Struct, kw_only=True):
    total: Tally
    brands: dict[str, Tally]
    """Per brandID; requests without a key of a known brand stand under `unknown`."""
    not_stored: int
    """Requests that fell out of what is kept for reading."""


class Waited(msgspec.Struct, frozen=True):
    reached: bool
    count: int


class Page(msgspec.Struct, frozen=True):
    """A page of received requests; pass `next_after` as `after` for the next."""

    received: list[Received]
    next_after: int
    not_stored: int
