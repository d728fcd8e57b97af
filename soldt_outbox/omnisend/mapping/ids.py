"""Ids of products, variants and categories, in the form that Omnisend takes.

Omnisend's products take ids of 1 to 100 letters, digits, ``_`` and ``-`` (its WordPress plugin, "align mappings and
limits with /api source"). The same rule serves events, whose ids Omnisend looks up among the products.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

MAX_ID: Final = 100

_MAX_BIGINT_DIGITS: Final = 18
_FITS: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_ID}}}")
_OTHER: Final = re.compile(r"[^A-Za-z0-9_-]")
_HASH_LENGTH: Final = 32  # 128 bits
_MARK: Final = "-id"
_CLEANED: Final = re.compile(rf".*{_MARK}[0-9a-f]{{{_HASH_LENGTH}}}", re.DOTALL)
_KEPT: Final = MAX_ID - len(_MARK) - _HASH_LENGTH


def row_number(text: str) -> int | None:
    """The id of one of SOLDT's rows, a bigint, from what stands for it in JSON; ``None`` for what can be none."""
    if text.isascii() and text.isdigit() and len(text) <= _MAX_BIGINT_DIGITS:
        return int(text)
    return None


def clean_id(original: str) -> str:
    """``original`` where it fits, as SOLDT's numbers do; else what of it fits, and a hash of the whole.

    Two different ids never become the same one: ids that end like a cleaned one are cleaned too, so what is kept as it is
    never meets what is not. So this is applied once to an id, not to its own result.
    """
    if _FITS.fullmatch(original) and not _CLEANED.fullmatch(original):
        return original
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{_OTHER.sub('_', original)[:_KEPT]}{_MARK}{digest}"
