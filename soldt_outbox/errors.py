"""Every error this package raises on purpose.

::

    OutboxError
    ├── InvalidEvent          what a caller wants to enqueue cannot be an event; nothing was written
    ├── PayloadRejected       a stored payload cannot become an Omnisend request; names the field
    ├── CredentialError       a credential cannot be encrypted or opened
    │   ├── KeyRingError      OUTBOX_ENCRYPTION_KEYS is missing or malformed
    │   └── CannotDecrypt     wrong key, or a ciphertext moved from its row or column
    ├── ConfigurationError    a setting is missing or contradicts another; says which and what to do
    ├── SchemaError           the database lacks this project's tables, or holds an older version of them
    ├── UnknownMerchant       no merchant has this id or slug
    ├── BrandRefused          Omnisend named no brand for a key (in soldt_outbox.omnisend.client: it holds the answer)
    ├── ConnectionRefused     Omnisend did not confirm a key; nothing was stored
    ├── OAuthError            a connection by OAuth cannot be made, or gives no token
    │   ├── AuthorizationRefused  a redirect connects nobody; nothing was stored
    │   ├── TokenRefused      the token endpoint refused; holds RFC 6749's code
    │   ├── MalformedAnswer   the token endpoint's answer holds no token (in soldt_outbox.oauth.protocol)
    │   ├── TokenUnavailable  no token for now: Omnisend is away, or others are asking; try later
    │   └── AuthorizationLost a shop's authorization has ended; an admin must connect it again
    ├── EnqueueFailed         an event could not be written over Supabase's API
    └── TransportError        a request to Omnisend ended without a whole answer
        ├── NeverSeen         no byte of the request can have been acted upon: safe to send again at once
        └── MayHaveBeenSeen   the request was, or may have been, read: Omnisend may have acted

What goes wrong while a row is delivered is not an exception but an outcome; see ``soldt_outbox.rows.Outcome``.
"""

from __future__ import annotations


class OutboxError(Exception):
    """Base of all errors raised on purpose by this package."""


class InvalidEvent(OutboxError):  # noqa: N818 - the field's word, and it reads as what it is
    """What a caller wants to enqueue cannot be an event. Nothing was written."""


class PayloadRejected(OutboxError):  # noqa: N818
    """A stored payload cannot become an Omnisend request.

    ``field`` is the path within the payload (``items[3].price``), ``problem`` a sentence for a person.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class CredentialError(OutboxError):
    """A credential cannot be encrypted or opened."""


class KeyRingError(CredentialError):
    """``OUTBOX_ENCRYPTION_KEYS`` is missing or malformed."""


class CannotDecrypt(CredentialError):  # noqa: N818
    """No key of the ring opens this ciphertext here: wrong key, or moved from another row or column."""


class ConfigurationError(OutboxError):
    """A setting is missing or contradicts another; the message says which and what to do."""


class SchemaError(OutboxError):
    """The database lacks this project's tables, or holds an older version of them."""


class UnknownMerchant(OutboxError):  # noqa: N818
    """No merchant has this id or slug, or it was never connected where that is needed."""


class ConnectionRefused(OutboxError):  # noqa: N818
    """Omnisend did not confirm an API key; the message says what to do. Nothing was stored."""


class OAuthError(OutboxError):
    """A connection by OAuth cannot be made, or gives no token. No message holds a code, a state or a token."""


class AuthorizationRefused(OAuthError):  # noqa: N818
    """What came back from Omnisend's authorize page connects nobody; the message says what to do. Nothing was stored."""


class TokenRefused(OAuthError):  # noqa: N818
    """The token endpoint refused. ``code`` is one of RFC 6749's error codes."""

    def __init__(self, code: str) -> None:
        super().__init__(f"Omnisend's token endpoint refused: {code}")
        self.code = code


class TokenUnavailable(OAuthError):  # noqa: N818
    """No token for now, through nothing that the merchant could put right. What needs it is to be tried later."""


class AuthorizationLost(OAuthError):  # noqa: N818
    """A shop's authorization has ended: an admin must connect it again. The message says so, for an admin."""


class EnqueueFailed(OutboxError):  # noqa: N818
    """An event could not be written over Supabase's API. Writing it again is safe: the dedup key sees to that."""


class TransportError(OutboxError):
    """A request to Omnisend ended without a whole answer."""


class NeverSeen(TransportError):  # noqa: N818
    """No byte of the request can have been acted upon: refused, or failed before it was written."""


class MayHaveBeenSeen(TransportError):  # noqa: N818
    """The request was, or may have been, read by the other side, which may have acted on it."""
