"""What was judged is kept, with what it was made from, so that nothing is judged twice or taken for something else.

A file that was made from other weights, data, starts or ways to judge is refused and not made anew: the starts of its
block have been used, and whoever changes something takes the next ones.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
from torch import Tensor, nn

from presage.errors import UserError
from presage.systems.lab.files import read_json, write_json
from presage.training.fingerprint import NO_MATTER, closed_over, hash_of, telling
from presage.training.recorded import Recorded

PLAIN = (bool, int, float, str, type(None))


def kept(path: Path, made_from: Mapping[str, str], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` gave, made the first time. made_from: words -> hash (`made_of`).

    Raises:
        UserError: the file was made from something else, or is damaged.
    """
    if path.exists():
        content = read_json(path, f"remove {path}")
        old = content.get("made_from", {})
        for words, value in made_from.items():
            if old.get(words) != value:
                raise UserError(
                    f"{path} was made with other {words}: give the check another --out, and it takes starts that "
                    "nobody used"
                )
        return content
    content = {"made_from": dict(made_from), **make()}
    write_json(path, content)
    return content


def made_of(**parts: Any) -> dict[str, str]:
    """Words -> hash of a part, and the versions of the simulators."""
    parts["simulators"] = [version(name) for name in ("metaworld", "mujoco")]
    return {name.replace("_", " "): hash_of(contents(value)) for name, value in parts.items()}


def contents(value: Any, around: tuple[int, ...] = ()) -> Any:
    """A value as JSON that is the same in every process. A function is its code with all that it closes over and the
    settings that it names, a module its weights, a function with a memory what it remembers the results of.

    Raises:
        TypeError: nothing is known that would tell it from others of its kind.
    """
    if id(value) in around:
        return "itself"
    inner = partial(contents, around=(*around, id(value)))
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return hash_of(value)
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Recorded):  # its fingerprint looks at some rows of long arrays; outcomes are short
        return [value.fingerprint, hash_of({name: x for name, x in value.latents.items() if name not in value.frames})]
    if isinstance(value, nn.Module):
        return [type(value).__qualname__, hash_of(value.state_dict())]
    if isinstance(value, Mapping):
        return {str(name): inner(x) for name, x in value.items()}
    if isinstance(value, list | tuple | range):
        return [inner(x) for x in value]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    if isinstance(value, type | BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, partial):
        return [inner(part) for part in (value.func, value.args, value.keywords)]
    if isinstance(value, MethodType):
        return [inner(value.__func__), inner(value.__self__)]
    if hasattr(value, "__wrapped__"):
        return inner(inspect.unwrap(value))
    if isinstance(value, FunctionType):
        return _function(value, inner)
    if is_dataclass(value):
        known = {f.name: inner(getattr(value, f.name)) for f in fields(value) if f.name not in NO_MATTER and f.compare}
        return [type(value).__qualname__, known]
    if isinstance(value, Path):
        return value.name
    return telling(repr(value))


def _function(function: FunctionType, inner: Callable[[Any], Any]) -> list[Any]:
    code = function.__code__
    cells = {name: inner(x) for name, x in closed_over(function).items()}
    named = {name: function.__globals__.get(name) for name in sorted(_names(code))}
    settings = {name: inner(x) for name, x in named.items() if _setting(x)}
    defaults = [inner(function.__defaults__), inner(function.__kwdefaults__)]
    return [function.__qualname__, _steps(code, function.__doc__), defaults, cells, settings]


def _setting(value: Any) -> bool:
    """Whether a global is a value that somebody chose, and no part of the code."""
    if isinstance(value, tuple):
        return all(map(_setting, value))
    if isinstance(value, Mapping):
        return all(map(_setting, value.values()))
    return (isinstance(value, PLAIN) and value is not None) or (is_dataclass(value) and not isinstance(value, type))


def _names(code: CodeType) -> set[str]:
    return set(code.co_names).union(*(_names(each) for each in code.co_consts if isinstance(each, CodeType)))


def _steps(code: CodeType, doc: str | None = None) -> list[Any]:
    """What a function does, whatever its documentation says."""
    consts = [each for each in code.co_consts if doc is None or each != doc]
    return [hashlib.sha256(code.co_code).hexdigest(), list(code.co_names), [_constant(each) for each in consts]]


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _steps(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
