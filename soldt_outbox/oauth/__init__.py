"""Connecting shops by OAuth 2.0: authorization code with PKCE, tokens that stay fresh, scopes, revocation.

``scopes`` and ``protocol`` are pure; ``client`` speaks to Omnisend's token endpoint; ``connecting`` begins an
authorization, completes it from the redirect's query and ends it; ``tokens`` gives senders a token that is good.
"""
