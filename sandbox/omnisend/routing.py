"""Which endpoint a path and a method lead to, and what an endpoint is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

from sandbox.omnisend.answers import Answer, documented, invalid
from sandbox.omnisend.brands import Brand, Caller
from sandbox.omnisend.catalogue import Catalogue
from sandbox.omnisend.dialect import DIALECTS, Dialect, DialectName
from sandbox.omnisend.journal import Entry
from sandbox.omnisend.model import Finding
from sandbox.omnisend.validation import NOTHING_READ, Reading
from sandbox.omnisend.world import World

_ALL: Final = frozenset(dialect.name for dialect in DIALECTS)


def _nothing_to_read(_body: bytes, _dialect: Dialect) -> Reading:
    return NOTHING_READ


@dataclass(kw_only=True, slots=True)
class Call:
    """A request that passed the gateway, on its way to what answers it; or one item of a batch."""

    world: World
    dialect: Dialect
    caller: Caller
    brand: Brand
    entry: Entry | None
    """The request in the journal; None for an item of a batch, which is no request of its own."""
    reading: Reading
    parameters: Mapping[str, str]
    """The variable parts of the path."""
    query: Mapping[str, str]
    url: Callable[[], str]
    """Tells where the request went, without its query: what links to other pages begin with."""
    found: list[Finding] = field(default_factory=list)
    """What came to light only when the request was acted upon."""

    @property
    def catalogue(self) -> Catalogue:
        """The products and categories of the caller's brand."""
        return self.world.catalogue(self.brand.brand_id)

    def refuse(self, status: int, detail: str | None = None) -> Answer:
        """The documented body of an error status, in the caller's dialect."""
        return documented(status, problem=self.dialect.problems, detail=detail)

    def invalid(self, findings: tuple[Finding, ...] | None = None) -> Answer:
        """400 for everything rejected: in these findings, or in what was read."""
        return invalid(self.reading.findings if findings is None else findings, self.dialect.problems)

    def note(self, code: str, path: str, message: str) -> None:
        """Record something that Omnisend takes without a word and without effect."""
        self.found.append(Finding("ignored", code, path, message))


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method of one path: what a caller must be allowed, how a body is read, what is done with it."""

    permission: str | None
    """None: it depends on the body, and the endpoint looks itself."""
    act: Callable[[Call], Answer]
    read: Callable[[bytes, Dialect], Reading] = _nothing_to_read
    takes_body: bool = False
    parameters: frozenset[str] = frozenset()
    """The query parameters it knows."""
    dialects: frozenset[DialectName] = _ALL
    is_large: bool = False
    """Whether its body may have the size of a batch's."""
    tokens_only: bool = False
    """Whether an API key cannot call it, whatever its permissions."""


Methods = Mapping[str, Endpoint]
NO_METHODS: Final[Methods] = {}


class Routes:
    """Endpoints by path, with `{name}` for a variable part; the version's own prefix is not in it."""

    def __init__(self, routes: Mapping[str, Methods]) -> None:
        self._by_dialect = {
            dialect.name: {path: _offered(methods, dialect) for path, methods in routes.items()}
            for dialect in DIALECTS
        }
        self._templates = [(tuple(path.split("/")), path) for path in routes if "{" in path]

    def find(self, dialect: Dialect, path: str) -> tuple[Methods, Mapping[str, str]]:
        """The methods a version has at a path, none if it lacks the path, and the values of the variable parts."""
        routes = self._by_dialect[dialect.name]
        inner = path[len(dialect.root) - 1 :]
        exact = routes.get(inner)
        if exact is not None:
            return exact, {}
        parts = inner.split("/")
        for template, known in self._templates:
            values = _matched(template, parts)
            if values is not None:
                return routes[known], values
        return NO_METHODS, {}


def _offered(methods: Methods, dialect: Dialect) -> Methods:
    return {name: endpoint for name, endpoint in methods.items() if dialect.name in endpoint.dialects}


def _matched(template: tuple[str, ...], parts: list[str]) -> dict[str, str] | None:
    if len(template) != len(parts):
        return None
    values = {}
    for wanted, part in zip(template, parts, strict=True):
        if wanted.startswith("{") and part:
            values[wanted[1:-1]] = unquote(part)
        elif wanted != part:
            return None
    return values


def read_query(raw: str, endpoint: Endpoint, dialect: Dialect) -> tuple[dict[str, str], list[Finding]]:
    """The query parameters, and those of them the endpoint does not know."""
    if not raw:
        return {}, []
    values = dict(parse_qsl(raw, keep_blank_values=True))
    found = [
        Finding(dialect.unknown_parameter, "query_unknown", name[:100], "is no parameter of this endpoint")
        for name in values
        if name not in endpoint.parameters
    ]
    return values, found
