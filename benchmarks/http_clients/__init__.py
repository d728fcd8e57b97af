"""HTTP clients that could carry the worker's requests, and what a measurement needs to know without importing them."""

from __future__ import annotations

from enum import StrEnum
from importlib.metadata import version
from importlib.util import find_spec
from typing import Final, assert_never


class HttpClient(StrEnum):
    """A client, or httpx's ``AsyncClient`` over a transport other than its own."""

    AIOHTTP = "bare aiohttp"
    HTTPX = "httpx"
    HTTPX2 = "httpx2"
    HTTPX_AIOHTTP = "httpx over httpx-aiohttp"
    HTTPX_PYREQWEST = "httpx over pyreqwest"
    HTTPX_OURS = "httpx over our transport"
    OURS = "OmnisendClient"
    PYREQWEST = "bare pyreqwest"

    @property
    def packages(self) -> tuple[str, ...]:  # noqa: PLR0911 - a table
        """The distributions that do its work, as PyPI has them."""
        match self:
            case HttpClient.AIOHTTP:
                return ("aiohttp",)
            case HttpClient.HTTPX:
                return ("httpx", "httpcore")
            case HttpClient.HTTPX2:
                return ("httpx2", "httpcore2")
            case HttpClient.HTTPX_AIOHTTP:
                return ("httpx", "httpx-aiohttp", "aiohttp")
            case HttpClient.HTTPX_PYREQWEST:
                return ("httpx", "pyreqwest")
            case HttpClient.HTTPX_OURS | HttpClient.OURS:
                return ("httpx", "aiohttp")
            case HttpClient.PYREQWEST:
                return ("pyreqwest",)
            case _:
                assert_never(self)

    @property
    def missing(self) -> tuple[str, ...]:
        """Those of its packages that are not installed."""
        return tuple(name for name in self.packages if find_spec(name.replace("-", "_")) is None)

    @property
    def versions(self) -> str:
        return ", ".join(f"{name} {version(name)}" for name in self.packages)


# What each library raises where, by its documentation, no request was sent: its user would send it again at once.
_NEVER_SENT: Final = frozenset(
    {
        "aiohttp.ClientConnectorError",
        "aiohttp.ConnectionTimeoutError",
        *(f"{name}.{error}" for name in ("httpx", "httpx2") for error in ("ConnectError", "ConnectTimeout")),
        "pyreqwest.ConnectError",
        "pyreqwest.ConnectTimeoutError",
        "soldt_outbox.NeverSeen",
    }
)


def says_never_sent(error: str) -> bool:
    """Does this error, named as ``package.Class``, say that no connection was made, and so nothing was sent?"""
    return error in _NEVER_SENT
