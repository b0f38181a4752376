"""The heart knows streams, noise, history and questions. It knows no network, no use, no part of a robot."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import presage.timeline

FILES = sorted(Path(inspect.getfile(presage.timeline)).parent.glob("*.py"))
BELOW = {"timeline", "codecs", "errors", "device"}
"""Parts of presage that the heart may stand on."""
NAMES = {"video", "action", "state", "value", "scene"}
"""What streams are called elsewhere."""
PLAIN = {"int", "float", "bool", "str", "tuple", "list", "dict", "type", "Tensor", "integer", "ndarray"}
"""Types of values, of which none is a model's."""

every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules that are imported anywhere, at the top, lazily, or for their types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def strings(tree: ast.AST) -> Iterator[str]:
    """All string constants but docstrings and other strings that stand alone."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def asked_types(tree: ast.AST) -> Iterator[str]:
    """Last names of the types that `isinstance` and `issubclass` ask for."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            for part in ast.walk(node.args[1]):
                if isinstance(part, ast.Attribute):
                    yield part.attr
                elif isinstance(part, ast.Name) and part.id not in ("np", "torch"):
                    yield part.id


@every_file
def test_the_heart_stands_on_nothing_that_stands_on_it(file: Path) -> None:
    parts = [name.split(".") for name in imported(ast.parse(file.read_text()))]
    assert [name for name in parts if name[0] == "presage" and (len(name) < 2 or name[1] not in BELOW)] == []


@every_file
def test_the_heart_reads_no_streams_name(file: Path) -> None:
    said = list(strings(ast.parse(file.read_text())))
    assert [s for s in said if s.split(".")[0] in NAMES] == []


@every_file
def test_the_heart_asks_no_model_what_it_is(file: Path) -> None:
    assert set(asked_types(ast.parse(file.read_text()))) <= PLAIN


def test_the_guards_would_notice() -> None:
    tree = ast.parse("""
"video"
def f(x):
    from presage.networks import transformer
    return x["video.front"] if isinstance(x, (dict, networks.WorldModel)) else "state"
""")
    assert list(imported(tree)) == ["presage.networks.transformer"]
    assert set(strings(tree)) == {"video.front", "state"}
    assert {"WorldModel", "dict"} <= set(asked_types(tree))
    assert len(FILES) > 8
