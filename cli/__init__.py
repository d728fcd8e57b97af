"""The command line: parses, calls ``soldt_outbox.administration``, prints. Entry point: ``cli.main``."""
