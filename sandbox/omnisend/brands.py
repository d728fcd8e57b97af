"""Brands and their API keys, as far as Omnisend's gateway looks at them."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Final

import msgspec

from sandbox.omnisend.limits import SlidingWindow
from sandbox.omnisend.model import PERMISSIONS, BrandSpec, BrandView, KeySpec, KeyView

_KEY: Final = re.compile(r"([0-9a-f]{24})-([A-Za-z0-9_-]{8,200})")
_BRAND_ID: Final = re.compile(r"[0-9a-f]{24}")


class BrandError(ValueError):
    """A brand or key that cannot be registered; the message says why, without the secret part."""


@dataclass(frozen=True)
class BrandKey:
    """A brand and the key that opens it; the key is left out of the repr."""

    brand_id: str
    key: str = field(repr=False)


def new_brand_id() -> str:
    return secrets.token_hex(12)


def new_key(brand_id: str) -> str:
    """A key of Omnisend's form, `<brandID>-<secret>` (wp-omnisend splits it on the dash)."""
    return f"{brand_id}-{secrets.token_urlsafe(24).replace('-', 'x')}"


def masked(key: str) -> str:
    """The key without its secret part."""
    match = _KEY.fullmatch(key)
    return f"{match[1]}-****" if match else "****"


@dataclass(frozen=True)
class _Key:
    key: str = field(repr=False)
    permissions: frozenset[str]


@dataclass(eq=False)
class Brand:
    """One merchant's account; `rate_limit` overrides the stand-in's (None: as everywhere, 0: none)."""

    brand_id: str
    keys: dict[str, _Key] = field(default_factory=dict, repr=False)
    name: str = "Sandbox shop"
    website: str = "https://shop.example"
    platform: str = "other"
    version: str = ""
    currency: str = "ZAR"
    timezone: str = "Africa/Johannesburg"
    connected: bool = False
    payment_required: bool = False
    rate_limit: int | None = None
    window: SlidingWindow = field(default_factory=SlidingWindow, repr=False)

    def view(self) -> BrandView:
        keys = [KeyView(masked(key.key), sorted(key.permissions)) for key in self.keys.values()]
        return BrandView(self.brand_id, keys, self.payment_required, self.rate_limit)


@dataclass(frozen=True)
class Caller:
    """Who a request comes from: `brand` by the first part of its key, `permissions` only if the key is right."""

    brand: Brand | None
    permissions: frozenset[str] | None
    shown: str | None = None
    """The key as it may be shown, without its secret part."""
    by_token: bool = False
    """Whether it came with an access token of the OAuth flow."""

    @property
    def brand_id(self) -> str | None:
        return self.brand.brand_id if self.brand is not None else None


NOBODY: Final = Caller(None, None)
_UNREADABLE: Final = Caller(None, None, masked(""))


class Brands:
    """The brands by id, and callers by key."""

    def __init__(self) -> None:
        self.by_id: dict[str, Brand] = {}
        self._callers: dict[str, Caller] = {}

    def caller(self, key: str, *, any_key: bool) -> Caller:
        """Who a key belongs to; a key that opens nothing still tells its brand."""
        known = self._callers.get(key)
        if known is not None:
            return known
        match = _KEY.fullmatch(key)
        if match is None:
            return _UNREADABLE
        if any_key:
            brand = self.by_id.get(match[1])
            keys = [KeySpec(one.key, sorted(one.permissions)) for one in brand.keys.values()] if brand else []
            self.register(BrandSpec(brandID=match[1], keys=[*keys, KeySpec(key)]))
            return self._callers[key]
        return Caller(self.by_id.get(match[1]), None, masked(key))

    def register(self, spec: BrandSpec) -> Brand:
        """Add a brand or change it.

        Raises:
            BrandError: the id is not 24 hex digits, a key is of another brand or form, a permission is unknown.
        """
        if _BRAND_ID.fullmatch(spec.brandID) is None:
            raise BrandError(f"brandID {spec.brandID[:40]!r} must be 24 hex digits in lower case")
        keys = None if spec.keys is msgspec.UNSET else _checked_keys(spec.brandID, spec.keys)
        brand = self.by_id.setdefault(spec.brandID, Brand(spec.brandID))
        if keys is not None:
            self._replace_keys(brand, keys)
        for name in (
            "name",
            "website",
            "platform",
            "currency",
            "timezone",
            "connected",
            "payment_required",
            "rate_limit",
        ):
            value = getattr(spec, name)
            if value is not msgspec.UNSET:
                setattr(brand, name, value)
        return brand

    def _replace_keys(self, brand: Brand, keys: list[_Key]) -> None:
        for old in brand.keys:
            del self._callers[old]
        brand.keys = {key.key: key for key in keys}
        for key in keys:
            self._callers[key.key] = Caller(brand, key.permissions, masked(key.key))

    def forget_requests(self) -> None:
        for brand in self.by_id.values():
            brand.window = SlidingWindow()

    def redact(self, rendered: bytes) -> bytes:
        """Take the secret parts of all known keys out of something about to be shown."""
        for key in self._callers:
            secret = key.partition("-")[2].encode()
            if secret in rendered:
                rendered = rendered.replace(secret, b"****")
        return rendered


def _checked_keys(brand_id: str, specs: list[KeySpec]) -> list[_Key]:
    keys = []
    for spec in specs:
        match = _KEY.fullmatch(spec.key)
        if match is None or match[1] != brand_id:
            raise BrandError(
                f"a key of brand {brand_id} must be {brand_id}-<secret of 8 or more of A-Za-z0-9_->"
            )
        named = PERMISSIONS if spec.permissions is None else frozenset(spec.permissions)
        if named - PERMISSIONS:
            raise BrandError(f"unknown permissions: {', '.join(sorted(named - PERMISSIONS))}")
        keys.append(_Key(spec.key, named))
    return keys
