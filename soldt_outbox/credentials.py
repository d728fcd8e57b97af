"""The key ring: merchants' credentials, encrypted so that a database dump, a replica or an injection gives none away.

AES-256-GCM with a random 96-bit nonce. The merchant, the column and the key's id are bound in as associated data:
a ciphertext copied to another row or column does not open. A ciphertext reads ``v1:<kid>:<base64 of nonce and text>``.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import Final, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from soldt_outbox.errors import CannotDecrypt, KeyRingError

_KID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NONCE_BYTES: Final = 12  # what NIST SP 800-38D recommends for random nonces
_KEY_BYTES: Final = 32


class KeyRing:
    """Keys by their id. The first encrypts; every one opens what it encrypted."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        """Raises ``KeyRingError`` for no key, a malformed id, or a key that is not 32 bytes long."""
        if not keys:
            raise KeyRingError(
                "OUTBOX_ENCRYPTION_KEYS is not set; `soldt-outbox keygen` prints a value for it"
            )
        for kid, key in keys.items():
            if not _KID.fullmatch(kid):
                raise KeyRingError(
                    "OUTBOX_ENCRYPTION_KEYS: a key's id has 1 to 32 of the characters A-Z a-z 0-9 _ -"
                )
            if len(key) != _KEY_BYTES:
                raise KeyRingError(
                    f"OUTBOX_ENCRYPTION_KEYS: key {kid} has {len(key)} bytes instead of {_KEY_BYTES}"
                )
        self._ciphers = {kid: AESGCM(key) for kid, key in keys.items()}
        self._primary = next(iter(keys))

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._ciphers)})"

    @property
    def primary(self) -> str:
        """The id of the key that encrypts."""
        return self._primary

    @classmethod
    def parse(cls, value: str) -> Self:
        """The ring of ``kid:base64key,…``. Raises ``KeyRingError``, which never repeats a key."""
        keys: dict[str, bytes] = {}
        for position, entry in enumerate(filter(None, (part.strip() for part in value.split(","))), start=1):
            kid, separator, encoded = entry.partition(":")
            if not separator:
                raise KeyRingError(
                    f"OUTBOX_ENCRYPTION_KEYS: entry {position} is not of the form kid:base64key"
                )
            if kid in keys:
                raise KeyRingError(f"OUTBOX_ENCRYPTION_KEYS: two keys have the id {kid}")
            try:
                keys[kid] = base64.b64decode(
                    encoded, altchars=b"-_" if set(encoded) & {"-", "_"} else None, validate=True
                )
            except (binascii.Error, ValueError):
                raise KeyRingError(f"OUTBOX_ENCRYPTION_KEYS: entry {position} is not valid base64") from None
        return cls(keys)

    @staticmethod
    def generate(kid: str) -> str:
        """A fresh ``kid:base64key``. Raises ``KeyRingError`` for an id that cannot be one."""
        key = os.urandom(_KEY_BYTES)
        KeyRing({kid: key})
        return f"{kid}:{base64.b64encode(key).decode()}"

    def encrypt(self, plaintext: str, *, merchant_id: UUID, column: str) -> str:
        """The ciphertext of a credential for this merchant and column."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._primary].encrypt(
            nonce, plaintext.encode(), _associated(merchant_id, column, self._primary)
        )
        return f"v1:{self._primary}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, ciphertext: str, *, merchant_id: UUID, column: str) -> str:
        """The credential. Raises ``CannotDecrypt`` for an unknown key, a changed text, another merchant or column."""
        version, _, rest = ciphertext.partition(":")
        kid, _, encoded = rest.partition(":")
        cipher = self._ciphers.get(kid)
        if version != "v1" or not encoded:
            raise CannotDecrypt("the stored credential is not a ciphertext of this project")
        if cipher is None:
            known = ", ".join(self._ciphers)
            raise CannotDecrypt(
                f"the stored credential needs key {kid[:32]!r}, which OUTBOX_ENCRYPTION_KEYS lacks (it has {known})"
            )
        try:
            sealed = base64.b64decode(encoded, validate=True)
            plain = cipher.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _associated(merchant_id, column, kid)
            )
        except (InvalidTag, binascii.Error, ValueError):
            raise CannotDecrypt(
                f"key {kid} does not open the stored credential: it was changed, or moved from another row or column"
            ) from None
        return plain.decode()

    def needs_rotation(self, ciphertext: str) -> bool:
        """Whether another key than the first encrypted this."""
        return not ciphertext.startswith(f"v1:{self._primary}:")


def _associated(merchant_id: UUID, column: str, kid: str) -> bytes:
    return f"{merchant_id}|{column}|{kid}".encode()
