"""The demo and the sandbox command: a world of one's own, in which everything that can go wrong does."""

from sandbox.demo.run import run_demo, run_sandbox

__all__ = ["run_demo", "run_sandbox"]
