"""Whatever is typed behind an option: exit code 0 or 2, one line that says what is wrong, and nothing half written."""

import contextlib
import dataclasses
import importlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.episodes.robots import write_robot
from tests.interface.pages.test_report import make_result
from tests.tiny import tiny_model
from tyro.conf import Positional
from tyro.constructors import PrimitiveConstructorSpec

from presage.errors import UserError
from presage.interface.cli import COMMANDS, main, parse
from presage.interface.commands import applies
from presage.results.output import check_writable
from presage.systems.system import SIZES
from presage.training.checkpoint import save_model
from presage.training.recipes import PARTS, RECIPES

QUICK = (
    *("inspect", "merge", "split", "filter", "append", "reencode", "figures", "report", "models"),
    *("systems list", "systems show", "lab show"),
)
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
    "name": ("codec", "uwm"),
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
        ".",
        "..",
        "~",
        "0:9",
    ]
    + ["data", "model", "file", "file/inside", "pipe", "loop", "new/er", "10:30", "/proc/new", "ws://h:99999", "ws://"]
)
TEXTS = WRONG | st.text(st.characters(exclude_characters="/\0", exclude_categories=()), max_size=8)


def classes() -> dict[str, tuple[list[str], type]]:
    """Command or tool -> its words, and its class."""
    modules = {
        name: importlib.import_module(f".{place}", "presage.interface.commands")
        for name, (place, _, _) in COMMANDS.items()
    }
    out = {name: ([name], getattr(modules[name], COMMANDS[name][1])) for name in COMMANDS}
    for name in ("dataset", "systems", "lab"):
        tools = get_args(get_args(get_type_hints(out.pop(name)[1], include_extras=True)["tool"])[0])
        for hint in tools:
            tool, word = get_args(hint)[0], hint.__metadata__[0].name
            out[word if name == "dataset" else f"{name} {word}"] = ([name, word], tool)
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
        code = main(line)
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


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--lora", "4"], "--lora does not apply to --recipe debug"),
        (["--size", "128"], "--size does not apply to --recipe debug"),
        (["--size", "small"], "--size small goes with --system"),
        (["--size", "17"], "give a multiple of 16"),
        (["--codec-steps", "2", "--codec-from", "model"], "--codec-steps does not apply to --recipe debug"),
        (
            ["--only", "decoder", "--start-from", "model", "--part-steps", "2"],
            "--part-steps does not apply to --only decoder",
        ),
        (
            ["--only", "critic", "--start-from", "model", "--codec-steps", "2"],
            "--codec-steps does not apply to --only critic",
        ),
        (["--only", "critic", "--start-from", "model", "--steps", "2"], "--steps does not apply to --only critic"),
        (
            ["--only", "critic", "--start-from", "model", "--codec-from", "model"],
            "--codec-from does not apply to --only",
        ),
        (["--only", "critic", "--start-from", "model", "--fit", "crop"], "--fit does not apply to --only critic"),
        (["--backbone", "model"], "--recipe backbone and --backbone DIR go together"),
        (["--weights", "0"], "--weights are all 0"),
        (["--weights", "1", "2"], "one for each"),
        (["--weights", "-1"], "--weights -1: give a number, at least 0"),
        (["--action", "action:0", "action:0"], "--action action:0: given twice"),
        (["--cameras", "front", "front"], "--cameras front: given twice"),
        (["--out", "other"], "--out is given 2 times"),
        (["--json", "new"], "--out new is what --json names"),
    ],
)
def test_a_training_heeds_every_option_or_refuses_it(options: list[str], says: str, inputs: Path) -> None:
    with copy_of(inputs) as folder:
        before = contents(folder)
        code, said = typed(["train", "--data", "data", "--out", "new", "--recipe", "debug", *options])
        assert code == 2 and len(said) == 1 and says in said[0]
        assert contents(folder) == before


@pytest.mark.parametrize("name", RECIPES)
def test_options_of_every_recipe_are_known(name: str) -> None:
    assert (name in applies.RECIPES, PARTS, tuple(SIZES)) == (True, applies.PARTS, applies.SIZES)


def test_a_dataset_of_weight_0_is_never_drawn_from(inputs: Path) -> None:
    steps = ["--recipe", "debug", "--steps", "1", "--codec-steps", "1", "--part-steps", "1"]
    with copy_of(inputs):
        write_robot(Path("dark"), length=9, size=(16, 16))
        code, said = typed(["train", "--data", "data", "dark", "--weights", "0", "1", "--out", "new", *steps])
        assert code == 0 and Path("new/model/config.json").exists(), said


def test_the_other_commands_refuse_what_they_would_ignore(inputs: Path) -> None:
    with copy_of(inputs):
        for line, says in (
            ("bench cache --episodes 3", "--episodes does not apply to bench cache"),
            ("bench control --episodes 3 --quick", "--episodes does not apply to --quick"),
            ("act --names a=b", "--names does not apply"),
            ("act --policy ws://127.0.0.1:9 --use open_loop", "--use open_loop does not apply"),
            ("evaluate --policies joint --names a=b", "--names does not apply"),
            ("evaluate --policies", "--policies none given"),
            ("evaluate --policies joint joint", "--policies joint: given twice"),
            ("evaluate --policies joint+nan", "--policies joint+nan: give a number"),
            ("collect --out new --seed 999", "--seed 999"),
            ("inspect data --out data/meta/info.json --json data/meta/info.json", "is what --json names"),
            ("inspect data --out new --json new/er", "--json lies inside --out, which is a file"),
            ("report result.json --out result.json", "is what --runs names"),
        ):
            code, said = typed(line.split())
            assert code == 2 and says in said[0], line


def test_what_is_no_file_is_never_replaced(inputs: Path) -> None:
    with copy_of(inputs), pytest.raises(UserError, match="a device or a pipe"):
        check_writable(Path("pipe"))


def run(*arguments: str, stdout: int | None = None, **environment: str) -> tuple[int, list[str]]:
    """The installed command in a process of its own: exit code and the lines on stderr."""
    line = [sys.executable, "-m", "presage.interface.cli", *arguments]
    to = subprocess.PIPE if stdout is None else stdout
    done = subprocess.run(line, stdout=to, stderr=subprocess.PIPE, env={**os.environ, **environment}, timeout=120)
    return done.returncode, done.stderr.decode().splitlines()


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("MUJOCO_GL", "nope", "export MUJOCO_GL=egl"),
        ("MUJOCO_GL", "off", "export MUJOCO_GL=egl"),
        ("PYOPENGL_PLATFORM", "glx", "unset PYOPENGL_PLATFORM"),
        ("MUJOCO_EGL_DEVICE_ID", "77", "unset MUJOCO_EGL_DEVICE_ID"),
    ],
)
def test_graphics_that_are_not_there_say_what_to_type(variable: str, value: str, remedy: str, tmp_path: Path) -> None:
    given = ("collect", "--tasks", "push-v3", "--episodes", "1", "--workers", "1", "--out", str(tmp_path / "new"))
    code, said = run(*given, **{variable: value})
    said = [text for text in said if text and "/episode" not in text and "episode/" not in text]
    assert code == 2 and len(said) == 1 and said[0].startswith("presage: error: cannot draw") and remedy in said[0]


def test_an_empty_choice_of_graphics_is_none(tmp_path: Path) -> None:
    code = "from presage.worlds.rendering import _gl_context, os; _gl_context(); print(os.environ['MUJOCO_GL'])"
    for empty in ({"MUJOCO_GL": ""}, {"MUJOCO_GL": "EGL"}):
        environment = {**os.environ, **empty}
        environment.pop("DISPLAY", None)
        assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).returncode == 0


def test_nobody_reads_what_is_printed() -> None:
    """`presage models | head`, and a disk that is full."""
    reading, writing = os.pipe()
    os.close(reading)
    assert run("--help", stdout=writing) == (141, [])
    assert run("act", "--help", stdout=writing) == (141, [])
    os.close(writing)
    with open("/dev/full", "w") as full:
        code, said = run("--help", stdout=full.fileno())
    assert code == 2 and len(said) == 1 and "No space left" in said[0]


@pytest.mark.parametrize(
    "environment",
    [{"COLUMNS": "1"}, {"COLUMNS": "x"}, {"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}],
)
def test_any_terminal(environment: dict[str, str]) -> None:
    assert run("models", "--help", **environment) == (0, [])
    assert run("models", "--seed", "-1", **environment) == (
        2,
        [
            "presage: error: --seed -1: give a whole number, at least 0 and at most 4294967295; see "
            "presage models --help"
        ],
    )


def test_a_name_that_is_not_utf_8() -> None:
    line = [sys.executable, "-m", "presage.interface.cli", "inspect", b"\xff"]
    done = subprocess.run(line, capture_output=True)
    assert done.returncode == 2 and b"is not UTF-8" in done.stderr and len(done.stderr.splitlines()) == 1
