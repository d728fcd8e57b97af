"""What a version of Omnisend's API consists of, as the server needs it: paths, credentials, endpoints.

Another version or resource is another module with a `Dialect` in it, listed in `api.DIALECTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sandbox.omnisend.answers import Answer
from sandbox.omnisend.brands import Brand
from sandbox.omnisend.journal import Entry
from sandbox.omnisend.validation import NOTHING_READ, Reading
from sandbox.omnisend.world import World

Headers = Mapping[str, str]
"""As aiohttp gives them: names in any case."""


def _nothing_to_read(_body: bytes) -> Reading:
    return NOTHING_READ


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request that passed the gateway, on its way to what answers it."""

    world: World
    brand: Brand
    entry: Entry
    reading: Reading
    parameters: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method of one path: what a key must be allowed, how a body is read, what is done with it."""

    permission: str
    act: Callable[[Call], Answer]
    read: Callable[[bytes], Reading] = _nothing_to_read
    takes_body: bool = False


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A version of the API; `routes` maps a path, with `{name}` for a variable part, to its methods."""

    name: str
    prefix: str
    credential: Callable[[Headers], str | None]
    routes: Mapping[str, Mapping[str, Endpoint]]
    _templates: tuple[tuple[tuple[str, ...], Mapping[str, Endpoint]], ...] = field(init=False)

    def __post_init__(self) -> None:
        templates = tuple(
            (tuple(path.split("/")), methods) for path, methods in self.routes.items() if "{" in path
        )
        object.__setattr__(self, "_templates", templates)

    def find(self, path: str) -> tuple[Mapping[str, Endpoint], Mapping[str, str]] | None:
        """The methods of a path and the values of its variable parts; None for a path the version lacks."""
        exact = self.routes.get(path)
        if exact is not None:
            return exact, {}
        parts = path.split("/")
        for template, methods in self._templates:
            if len(template) == len(parts):
                values = {}
                for wanted, part in zip(template, parts, strict=True):
                    if wanted.startswith("{") and part:
                        values[wanted[1:-1]] = part
                    elif wanted != part:
                        break
                else:
                    return methods, values
        return None
