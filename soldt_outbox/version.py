"""The version, in one place: the package's metadata, the heartbeat and the client's User-Agent take it from here."""

__version__ = "0.1.0"
