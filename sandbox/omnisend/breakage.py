"""Breaking a connection in the ways networks and servers do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import Final

from aiohttp import web

GARBAGE: Final = b"\x16\x03\x03\x00\x02this is not HTTP\r\n\r\n\x00\xff"

# l_onoff = 1, l_linger = 0: close() sends RST in place of FIN (socket(7)).
_RESET_ON_CLOSE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


def reset_transport(transport: asyncio.BaseTransport) -> None:
    """Send a TCP RST and forget what was still to be read or written.

    `abort` alone ends in FIN when everything that came in was read; the linger option makes it RST in any case.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # Set on a duplicate: uvloop's own socket object takes no options, and options belong to the connection.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    abort: Callable[[], None] = getattr(transport, "abort", transport.close)
    abort()


def reset(request: web.BaseRequest) -> web.StreamResponse:
    """Reset the connection of a request; the response returned goes nowhere."""
    if request.transport is not None:
        reset_transport(request.transport)
    return _nothing_more(request)


def end_after(request: web.BaseRequest, written: bytes) -> web.StreamResponse:
    """Write these bytes as they are, then end the stream in good order (FIN)."""
    if request.transport is not None:
        request.transport.write(written)
    return _nothing_more(request)


def _nothing_more(request: web.BaseRequest) -> web.StreamResponse:
    """Detach aiohttp from the connection, so that it writes no answer of its own."""
    request.protocol.force_close()
    return web.Response()
