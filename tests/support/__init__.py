"""What the tests stand on: databases cloned per test, real parts in front of them, and word of what is missing."""
