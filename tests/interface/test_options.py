"""Whatever is typed behind an option: exit code 0 or 2, one line that says what is wrong, and nothing half written."""

import contextlib
import dataclasses
import importlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.episodes.robots import write_robot
from tests.interface.test_report import make_result
from tests.tiny import tiny_model
from tyro.conf import Positional
from tyro.constructors import PrimitiveConstructorSpec

from presage.errors import UserError
from presage.interface.cli import COMMANDS, main, parse
from presage.training.checkpoint import save_model

QUICK = ("inspect", "merge", "split", "filter", "append", "reencode", "figures", "report", "models")
"""Commands that are run whatever they are told; the others would work for minutes, and are parsed."""
USUAL = {
    "data": ("data",),
    "out": ("new",),
    "json": ("figures.json",),
    "into": ("data",),
    "runs": ("result.json",),
    "checkpoint": ("model",),
    "tasks": ("push-v3", "pusht"),
    "cameras": ("front", "eye=front"),
    "policies": ("joint", "random", "joint+1.0"),
    "names": ("a", "a=b"),
    "name": ("codec",),
    "recipe": ("debug", "finetune"),
    "start_from": ("model",),
    "episodes": ("0:1", "1", "2"),
    "shares": ("0.5", "2"),
    "action": ("action", "action:0", "action:0-2,4", "none"),
    "use": ("open_loop",),
    "task": ("push-v3",),
    "success": ("yes", "no"),
    "codec": ("h264",),
    "size": ("16", "64"),
    "fit": ("crop",),
    "only": ("critic", "decoder"),
    "host": ("127.0.0.1",),
    "planner": ("model",),
    "codec_from": ("model",),
    "picture": ("a.png",),
    "video": ("films",),
    "policy": ("ws://127.0.0.1:9",),
    "counterfactuals": ("0",),
}
"""Values that fit, so that not everything is refused for the same reason."""
WRONG = st.sampled_from(
    ["", " ", "-1", "0", "1", "007", "1.5", "-0.0", "nan", "inf", "-inf", "1e999", "1e-999", "9" * 30, "2147483648"]
    + [
        "None",
        "True",
        "--",
        "-",
        "-h",
        "\n",
        "é",
        "\udcff",
        "x" * 300,
        "x/" * 3000,
        "a=b=c",
        "a/b",
        "..",
        "~",
        "0:0",
        "0:9",
    ]
    + [
        "data",
        "model",
        "file",
        "file/inside",
        "pipe",
        "loop",
        "new/er",
        "10:30",
        "/proc/new",
        "result.json",
        "ws://h:99999",
        "ws://",
    ]
)
TEXTS = WRONG | st.text(st.characters(exclude_characters="/\0", exclude_categories=()), max_size=8)


def classes() -> dict[str, tuple[list[str], type]]:
    """Command or tool -> its words, and its class."""
    modules = {name: importlib.import_module(f"presage.interface.{place}") for name, (place, _, _) in COMMANDS.items()}
    out = {name: ([name], getattr(modules[name], COMMANDS[name][1])) for name in COMMANDS}
    tools = get_args(get_args(get_type_hints(out.pop("dataset")[1], include_extras=True)["tool"])[0])
    for tool in (get_args(hint)[0] for hint in tools):
        out[tool.__name__.lower()] = (["dataset", tool.__name__.lower()], tool)
    return out


CLASSES = classes()
POSITIONAL = Positional[int].__metadata__  # type: ignore[attr-defined]


@st.composite
def command_lines(draw: st.DrawFn, name: str) -> list[str]:
    """A command with some of its options, most of their values such as fit."""
    words, made = CLASSES[name]
    needed = [f.name for f in dataclasses.fields(made) if f.default is f.default_factory is dataclasses.MISSING]
    line: list[str] = []
    for field, hint in get_type_hints(made, include_extras=True).items():
        options = [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, PrimitiveConstructorSpec)]
        if draw(st.integers(0, 9)) < (1 if field in needed else 6):
            continue
        value = TEXTS if draw(st.integers(0, 5)) == 0 else st.sampled_from(USUAL.get(field, ("1", "2")))
        longest = 3 if any(option.nargs == "*" for option in options) else 1
        values = [] if hint is bool else draw(st.lists(value, min_size=1, max_size=longest, unique=True))
        positional = getattr(hint, "__metadata__", ())[-1:] == POSITIONAL
        line = [*values, *line] if positional else [*line, f"--{field.replace('_', '-')}", *values]
    return [*words, *line]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inputs") / "a" / "here"
    root.mkdir(parents=True)
    write_robot(root / "data", length=7, size=(16, 16))
    save_model(tiny_model(), root / "model", "a random model")
    make_result(root / "result.json", films=0)
    (root / "file").write_text("no result")
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to("loop")
    return root.parent


@contextlib.contextmanager
def copy_of(inputs: Path) -> Iterator[Path]:
    """A fresh copy to stand in: `..` is a folder of its own."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        for file in inputs.rglob("*"):
            target = Path(folder, "a") / file.relative_to(inputs)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.is_symlink():
                target.symlink_to(os.readlink(file))
            elif file.is_fifo():
                os.mkfifo(target)
            elif file.is_file():
                shutil.copy(file, target)
        os.chdir(Path(folder, "a", "here"))
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def contents(folder: Path) -> dict[str, bytes]:
    files = (f for f in sorted(folder.rglob("*")) if f.is_symlink() or not f.is_file() or f.suffix != ".safetensors")
    return {str(f): f.read_bytes() if f.is_file() and not f.is_symlink() else b"" for f in files}


def typed(line: list[str]) -> tuple[int, list[str]]:
    """Exit code, and the lines on stderr without those of progress bars."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(line)
        except SystemExit as stop:  # --help
            code = int(stop.code or 0)
    return code, [text for text in said.getvalue().split("\n") if text and "\r" not in text]


@pytest.mark.parametrize("name", CLASSES)
@given(data=st.data())
def test_any_value_of_any_option(name: str, data: st.DataObject, inputs: Path) -> None:
    line = data.draw(command_lines(name))
    with copy_of(inputs) as folder:
        before = contents(folder)
        if name not in QUICK:
            try:
                parse(line)
                event("parsed")
                return
            except SystemExit:
                return
            except UserError:
                pass
        code, said = typed(line)
        event(f"{code}")
        assert code in (0, 2), said
        if code == 2:
            assert len(said) == 1 and said[0].startswith("presage: error: ")
            assert contents(folder) == before
