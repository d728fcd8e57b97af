"""Clients of the sandbox's API: the real supabase-py, each with an HTTP client of its own that is closed in the end."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self
from uuid import UUID

import httpx
from supabase import Client, ClientOptions, create_client

from sandbox.postgrest import SupabaseApi


class SupabaseClients:
    """Makes clients; never one for two identities, since supabase-py lets a user's token bleed into later calls."""

    def __init__(self, api: SupabaseApi) -> None:
        self.api = api
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def __call__(self, user_id: UUID | None = None, *, secret: bool = False) -> Client:
        """A visitor's client (``anon``), a signed-in user's (``authenticated``), or a server's (``service_role``)."""
        headers = {"Authorization": f"Bearer {self.api.user_token(user_id)}"} if user_id else {}
        options = ClientOptions(
            headers=headers,
            auto_refresh_token=False,
            persist_session=False,
            httpx_client=self._open.enter_context(httpx.Client()),
        )
        return create_client(
            self.api.url, self.api.secret_key if secret else self.api.publishable_key, options
        )
