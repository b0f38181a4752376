"""The house is in order: packages know only what is below them, and no file is too long to be read at once."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "presage"
MODULES = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in SOURCE.rglob("*.py")}

FLOORS = (
    ("errors", "device", "__init__"),
    ("measures",),
    ("episodes",),
    ("worlds",),
    ("codecs",),
    ("timeline",),
    ("networks",),
    ("training",),
    ("simulator", "policy"),
    ("systems",),
    ("serving",),
    ("results",),
    ("benchmarks",),
    ("interface.pages",),
    ("interface",),
)
"""Packages from the bottom up. A package knows itself and those below; two on one floor do not know each other."""

HEART = "the session still knows the one network that it was written for"
EXCEPTIONS = {
    ("timeline.expectation", "networks.world_model"): HEART,
    ("timeline.joined", "networks.transformer"): HEART,
    ("timeline.model", "networks.critic"): HEART,
    ("timeline.model", "networks.kinematics"): HEART,
    ("timeline.model", "networks.transformer"): HEART,
    ("timeline.session", "networks.transformer"): HEART,
    ("timeline.session", "networks.world_model"): HEART,
}
"""Arrows up, (who, whom): why. One that is gone has to be taken out of here."""

MOST_LINES, MOST_COLUMNS = 400, 120


def package(module: str) -> str:
    """The entry of `FLOORS` that a module belongs to."""
    names = [name for floor in FLOORS for name in floor if f"{module}.".startswith(f"{name}.")]
    assert names, f"{module} belongs to no floor: add its package to FLOORS"
    return max(names, key=len)


def floor(module: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if package(module) in names)


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules of presage that a file imports anywhere, inside functions and for type hints too."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import: name the module"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            name = name.removeprefix("presage.") if name.startswith("presage.") else ""
            while name and name not in MODULES and f"{name}.__init__" not in MODULES:
                name = name.rpartition(".")[0]  # what is imported is in the module, not a module
            if name:
                yield name


def arrows(module: str, text: str) -> set[tuple[str, str]]:
    """(module, whom it imports) where that is not below it, nor in its own package."""
    others = {name for name in imported(ast.parse(text)) if package(name) != package(module)}
    return {(module, name) for name in others if floor(name) >= floor(module)}


def test_packages_know_only_what_is_below_them() -> None:
    found = {arrow for module, path in MODULES.items() for arrow in arrows(module, path.read_text())}
    assert not found - EXCEPTIONS.keys(), "arrows up, so circles are possible: move what both need down"
    assert not EXCEPTIONS.keys() - found, "no longer there: take them out of EXCEPTIONS"


@pytest.mark.parametrize(
    ("module", "text", "whom"),
    [
        ("timeline.session", "from presage.policy.joint import joint", "policy.joint"),
        ("timeline.session", "def late():\n    from presage.training import loop", "training.loop"),
        ("timeline.session", "import presage.interface.cli", "interface.cli"),
        ("simulator.planning", "from presage.policy import make_policy", "policy"),  # neighbours
        ("interface.pages.page", "from presage.interface.commands.options import one", "interface.commands.options"),
    ],
)
def test_an_arrow_up_is_found(module: str, text: str, whom: str) -> None:
    assert arrows(module, text) == {(module, whom)}


def test_an_arrow_down_is_none() -> None:
    down = "from presage import __version__\nfrom presage.worlds import rollout\nfrom presage.errors import UserError"
    assert arrows("simulator.planning", down) == set()


def columns(line: str) -> int:
    """How wide a line is, as ruff counts: without what is said to a tool at its end, and 0 for one long word."""
    return len(re.sub(r"\s*# (noqa|type):.*$", "", line)) if len(line.split()) > 1 else 0


def test_files_and_lines_can_be_read_at_once() -> None:
    files = [path for folder in ("src", "tests", "scripts") for path in (ROOT / folder).rglob("*.py")]
    lines = {path.relative_to(ROOT): path.read_text().splitlines() for path in files}
    assert [str(name) for name, text in lines.items() if len(text) > MOST_LINES] == []
    wide = [f"{name}:{n}" for name, text in lines.items() for n, x in enumerate(text, 1) if columns(x) > MOST_COLUMNS]
    assert wide == []
