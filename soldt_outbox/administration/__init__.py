"""What an operator does to the outbox: connect, look, retry, rotate, prune. Nothing here prints or parses.

Every function takes an ``AsyncDatabase``, which acts as the worker's role; only moving plaintext keys needs the
tables' owner. What is returned holds no credential and no payload.
"""
