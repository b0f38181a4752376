"""Whole systems: parts of both paradigms chosen and put together."""
