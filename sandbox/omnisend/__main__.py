"""`python -m sandbox.omnisend`: the stand-in as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from typing import Final

from sandbox.omnisend.model import Settings
from sandbox.omnisend.server import OmnisendStandIn, settings_from

_EXAMPLES: Final = """\
When it is ready it prints one line of JSON: {"url": ..., "control_url": ...}. Point OMNISEND_BASE_URL at the url.

examples:
  python -m sandbox.omnisend --port 8800 --any-key
  curl -s localhost:8800/_sandbox                       what it can be asked and told
  curl -s localhost:8800/_sandbox/summary               counts per brand
  curl -s 'localhost:8800/_sandbox/received?limit=5'    what came in, with findings
  curl -s localhost:8800/_sandbox/brands -d \\
       '{"brandID": "5f0000000000000000000001", "keys": [{"key": "5f0000000000000000000001-a-secret"}]}'
  curl -s 'localhost:8800/_sandbox/contacts?brand=5f0000000000000000000001'
  curl -s localhost:8800/_sandbox/unsubscribe -d '{"brand": "5f0000000000000000000001", "email": "ann@example.com"}'
  curl -s localhost:8800/_sandbox/settings -d '{"batch_delay_s": 5, "rotate_refresh_tokens": true}'
  curl -s localhost:8800/_sandbox/faults -d '{"kind": "status", "status": 429, "count": 3}'
  curl -s localhost:8800/_sandbox/faults -d '{"kind": "status", "status": 503, "batch_item": true, "item_id": "p_1"}'
  curl -s localhost:8800/_sandbox/faults -d '{"kind": "hang", "event_name": "placed order", "nth": 2, "count": 1}'
"""


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.omnisend",
        description="A stand-in for Omnisend's API on the loopback interface: strict, scriptable, with faults on request.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port of the API; 0: a free one (default)")
    parser.add_argument(
        "--control-port", type=int, default=0, help="second port for /_sandbox, free of faults"
    )
    parser.add_argument(
        "--rate-limit",
        type=int,
        metavar="N",
        help=f"requests per brand and window (default: {defaults.rate_limit}, as documented; 0: no limit)",
    )
    parser.add_argument("--window-s", type=float, metavar="S", help="length of that window (default: 60)")
    parser.add_argument("--any-key", action="store_true", help="take any <24 hex digits>-<secret> as a key")
    parser.add_argument(
        "--sink",
        action="store_true",
        help="for benchmarks: count and answer 202; no validation, limit, faults or stored bodies",
    )
    parser.add_argument("--sink-delay-s", type=float, metavar="S", help="answer after so long in sink mode")
    parser.add_argument(
        "--max-stored", type=int, metavar="N", help=f"requests kept (default: {defaults.max_stored})"
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when standard input ends")
    return parser


async def _serve(args: argparse.Namespace) -> None:
    settings = settings_from(
        rate_limit=args.rate_limit,
        window_s=args.window_s,
        any_key=args.any_key,
        sink=args.sink,
        sink_delay_s=args.sink_delay_s,
        max_stored=args.max_stored,
    )
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    standin = OmnisendStandIn(settings, host=args.host, port=args.port, control_port=args.control_port)
    async with standin:
        sys.stdout.write(json.dumps({"url": standin.url, "control_url": standin.control_url}) + "\n")
        sys.stdout.flush()
        if args.until_stdin_closes:
            await _watch_stdin(loop, ended)
        await ended.wait()


async def _watch_stdin(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """End with the process that started this one, however it ended: its end of the pipe closes."""

    class Watcher(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            del exc
            ended.set()

    await loop.connect_read_pipe(Watcher, sys.stdin)


def main() -> None:
    args = _parser().parse_args()
    try:
        import uvloop  # noqa: PLC0415 - absent on Windows
    except ImportError:
        asyncio.run(_serve(args))
    else:
        uvloop.run(_serve(args))


if __name__ == "__main__":
    main()
