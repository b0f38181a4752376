"""The checks of what a robot sends live in `presage.serving.request`; this name is kept for scripts that import it."""

from presage.serving.request import Request, Terms, read_request

__all__ = ["Request", "Terms", "read_request"]
