"""One file per command, each a frozen dataclass with `run()`; `options.py` has the types that options share."""
