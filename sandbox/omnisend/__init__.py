"""A stand-in for Omnisend: an HTTP server of its own that reads requests as Omnisend's documentation says it does.

It shares nothing with the sender, on purpose: what both got from one table would prove nothing.

What Omnisend refuses is refused in its words; what it takes without a word and without effect is taken, and is a
finding of the request. Versions 5 and 2026-03-15 of the API are one set of endpoints (`resources`) and one table of
differences (`dialect`).
"""

from sandbox.omnisend.asking import StandInError
from sandbox.omnisend.async_client import AsyncStandInControl
from sandbox.omnisend.brands import BrandError, BrandKey, new_brand_id, new_key
from sandbox.omnisend.client import StandInControl
from sandbox.omnisend.model import (
    PERMISSIONS,
    BrandSpec,
    BrandView,
    Fault,
    FaultKind,
    FaultView,
    Finding,
    KeySpec,
    Received,
    Settings,
    Summary,
    Tally,
    WaitFor,
)
from sandbox.omnisend.process import StandInProcess
from sandbox.omnisend.server import OmnisendStandIn, StandInTimeout
from sandbox.omnisend.views import (
    BatchView,
    CategoryView,
    ChannelView,
    ConsentView,
    ContactsView,
    ContactView,
    GrantView,
    OAuthClient,
    OAuthView,
    ProductView,
    WelcomeMessage,
)

__all__ = [
    "PERMISSIONS",
    "AsyncStandInControl",
    "BatchView",
    "BrandError",
    "BrandKey",
    "BrandSpec",
    "BrandView",
    "CategoryView",
    "ChannelView",
    "ConsentView",
    "ContactView",
    "ContactsView",
    "Fault",
    "FaultKind",
    "FaultView",
    "Finding",
    "GrantView",
    "KeySpec",
    "OAuthClient",
    "OAuthView",
    "OmnisendStandIn",
    "ProductView",
    "Received",
    "Settings",
    "StandInControl",
    "StandInError",
    "StandInProcess",
    "StandInTimeout",
    "Summary",
    "Tally",
    "WaitFor",
    "WelcomeMessage",
    "new_brand_id",
    "new_key",
]
