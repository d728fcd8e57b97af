"""Text that a shop may keep in several languages: ``{"en": "Mug", "af": "Beker"}``, or such an object as JSON text."""

from __future__ import annotations

from typing import Any, Final

from soldt_outbox.omnisend.mapping.reading import structure, text

DEFAULT_LOCALE: Final = "en"


def localised(value: Any, locale: str, limit: int) -> str | None:
    """The text for ``locale``, at most ``limit`` characters; ``None`` where there is none in any language.

    Tried in turn: the locale, its language without region, English, the first locale by alphabet. ``af-ZA`` and ``af_za``
    are one.
    """
    given = structure(value)
    if not isinstance(given, dict):
        return text(value, limit)
    found: dict[str, str] = {}
    for name in sorted(given):
        written = text(given[name], limit)
        if written is not None:
            found.setdefault(_tag(name), written)
    wanted = _tag(locale)
    for tag in (wanted, wanted.partition("-")[0], DEFAULT_LOCALE, min(found, default=DEFAULT_LOCALE)):
        if tag in found:
            return found[tag]
    return None


def _tag(locale: str) -> str:
    return locale.strip().lower().replace("_", "-")
