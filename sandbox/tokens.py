"""What opens the sandbox's API: two keys in the form of Supabase's, and users' JWTs. All of them are public."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any, Final
from uuid import UUID

PUBLISHABLE_KEY: Final = "sb_publishable_sandbox_opens_nothing_of_worth"
SECRET_KEY: Final = "sb_secret_sandbox_opens_nothing_of_worth"
JWT_SECRET: Final = "sandbox-jwt-secret-with-at-least-32-characters"

_KEY_ROLES: Final = {PUBLISHABLE_KEY: "anon", SECRET_KEY: "service_role"}


def role_of_key(key: str) -> str | None:
    """The API role that a project's key stands for; None when it is no key of ours."""
    return _KEY_ROLES.get(key)


def mint_token(
    user_id: UUID | None = None, *, role: str = "authenticated", lifetime: int = 3600, **claims: Any
) -> str:
    """A JWT (HS256) as Supabase Auth would issue it; ``lifetime`` is in seconds, and may be negative."""
    now = int(time.time())
    body: dict[str, Any] = {"aud": "authenticated", "role": role, "iat": now, "exp": now + lifetime, **claims}
    if user_id is not None:
        body["sub"] = str(user_id)
    signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(body)}"
    signature = hmac.new(JWT_SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64(signature)}"


def _encode(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
