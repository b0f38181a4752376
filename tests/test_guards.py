"""What keeps a system a value: one training loop, short recipes, no question about which model it is."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src/presage"
FILES = sorted(SOURCE.rglob("*.py"))
RECIPE = re.compile(r"^def \w+\(shape: Shape, size: Size", re.M)
RECIPES = [path for path in FILES if path.parent.name == "systems" and RECIPE.search(path.read_text())]
MODELS = {"WorldModel", "WanWorldModel", "Composed", "Transformer", "Backbone", "Model", "Session"}


def test_there_is_one_training_loop() -> None:
    calls = {
        path.relative_to(SOURCE).as_posix(): path.read_text().count(".backward()")
        for path in FILES
        if "benchmarks" not in path.parts and ".backward()" in path.read_text()
    }
    assert calls == {"training/loop.py": 1}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_short_and_holds_no_loop_of_its_own(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 150
    assert "type: ignore" not in text and "isinstance" not in text and ".backward" not in text


def test_nobody_asks_which_model_it_is() -> None:
    asking = {}
    for path in (path for path in FILES if "benchmarks" not in path.parts):
        tree = ast.parse(path.read_text())
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        asked = [call.args[1] for call in calls if call.func.id == "isinstance"]
        names = {x.id for kinds in asked for x in ast.walk(kinds) if isinstance(x, ast.Name)}
        asking[path.name] = names & MODELS - own
    assert not {name: asked for name, asked in asking.items() if asked}


@pytest.mark.parametrize("path", sorted((SOURCE / "timeline").glob("*.py")), ids=lambda path: path.stem)
def test_the_heart_needs_no_exception_from_its_types(path: Path) -> None:
    assert "type: ignore" not in path.read_text()
