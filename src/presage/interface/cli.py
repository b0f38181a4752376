"""`presage COMMAND ...`: finds the command, parses its arguments with tyro, makes bad input one line and exit code 2.

A command is a frozen dataclass, one field per option, with `run()`. Its docstring is its help. Modules of commands are
imported when they are called, and they import what is heavy when they run, so `presage --help` answers at once.
"""

import contextlib
import dataclasses
import errno
import importlib
import io
import os
import re
import select
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

import presage
from presage.errors import UserError

COMMANDS: dict[str, tuple[str, str, str]] = {
    "collect": ("collect", "Collect", "record scripted experts in the simulator as a LeRobot dataset"),
    "inspect": ("inspect", "Inspect", "show what is in a LeRobot dataset and what is wrong with it"),
    "label": (".label.command", "Label", "say which recorded episodes succeeded, in a browser"),
    "dataset": ("dataset", "DatasetCommand", "merge, split, filter, append to or re-encode LeRobot datasets"),
    "train": ("train", "Train", "train presage's own model or a published system on datasets; a killed run resumes"),
    "act": ("act", "Act", "let the model control the robot in the simulator"),
    "dream": ("dream", "Dream", "replay recorded actions in the dream: does the model listen to them?"),
    "evaluate": ("evaluate", "Evaluate", "judge policies in imagination and compare with the simulator"),
    "synthesize": ("synthesize", "Synthesize", "dream episodes, label them with actions, write them as a dataset"),
    "plan": ("plan", "PlanCommand", "imagine several futures and act on the best"),
    "play": (".play.command", "Play", "drive the robot in the dream yourself, in a browser, and record it"),
    "models": ("models", "Models", "list the models presage can load, what they need, and which are on this machine"),
    "serve": ("serve", "Serve", "serve the model to robots over openpi's websocket protocol"),
    "bench": ("bench", "Bench", "measure one published figure with its controls"),
    "systems": ("systems", "Systems", "list the 36 published systems, show one, or check its claim in the lab"),
    "lab": ("lab", "Lab", "make the datasets that all checks of systems share"),
    "figures": ("figures", "Figures", "turn bench results into docs/figures.md"),
    "report": ("report", "Report", "make one page of any results, with films, tables and curves, to share"),
    "demo": ("demo", "Demo", "run all seven uses of the shipped model and write one HTML page"),
}
"""name -> (module, seen from presage.interface.commands; class; one line of help)"""

OUTPUTS = ("json", "out", "picture", "video")
"""Options that name what a command writes."""
NARROWEST = 40
"""Signs a line of help has at least: tyro never ends in a narrower one."""
FROM_OUTSIDE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOMEM),
    *(errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ESTALE),
)
"""What a machine or a person can do to a file at any time. Any other OSError that nobody expected is a fault of
presage."""

_HELP = """usage: presage COMMAND [options]

Video world models for robot control: one model as the simulator and as the policy.

{commands}

presage COMMAND --help says what a command does, shows an example, and where its output goes.
Every command takes --seed S and --json FILE (its figures, machine-readable).
Start with: presage demo
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0, 2 for bad input, 130 when interrupted."""
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show a sign is no reason to stop
        _run(list(sys.argv[1:] if argv is None else argv))
        if sys.stdout is not None:
            sys.stdout.flush()  # not at exit, where nobody could say what is wrong
        return 0
    except UserError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        print("presage: interrupted; what was already whole is kept", file=sys.stderr)
        return 130
    except OSError as error:
        gone = isinstance(error, BrokenPipeError) and _reader_is_gone()
        _silence_output()
        if gone:  # presage inspect | head
            return 141
        if error.errno not in FROM_OUTSIDE:
            raise
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return _complain(f"{where}{error.strerror}; what was already whole is kept")


def _run(arguments: list[str]) -> None:
    """Do what a command line says."""
    if sys.platform == "linux" and not os.environ.get("MUJOCO_GL"):
        os.environ["MUJOCO_GL"] = "egl"  # before anything imports mujoco, which reads it once
    for text in arguments:
        if not text.isascii() and text.encode(errors="replace").decode() != text:
            raise UserError(f"{text!r} is not UTF-8: rename it")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        lines = [f"  {name:<11} {line}" for name, (_, _, line) in COMMANDS.items()]
        print(_HELP.format(commands="\n".join(lines)), end="")
    elif arguments[0] == "--version":
        print(f"presage {presage.__version__}")
    else:
        try:
            command = parse(arguments)
        except SystemExit:  # its help was asked for, and printed
            return
        command.run()


def _complain(message: str) -> int:
    """Say in one line what is wrong; the exit code."""
    print(f"presage: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _reader_is_gone() -> bool:
    """Whether nobody reads what is printed any more."""
    if sys.stdout is None:
        return False
    waiting = select.poll()
    waiting.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in waiting.poll(0))


def _silence_output() -> None:
    """Let Python not try once more, when it ends, to print what nobody reads or no disk holds."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def parse(arguments: Sequence[str]) -> Any:
    """The command `arguments` stand for, ready to `run()`.

    Raises:
        UserError: no such command, or its options are wrong.
        SystemExit: with code 0, after printing a command's help.
    """
    name = arguments[0]
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(COMMANDS)}"
        raise UserError(f"no command {name!r}: {hint}")
    import tyro

    module, attribute, _ = COMMANDS[name]
    command = getattr(importlib.import_module(f".{module}", "presage.interface.commands"), attribute)
    options = [text.partition("=")[0].replace("_", "-") for text in arguments[1:] if re.match(r"--[a-z]", text)]
    for option, times in Counter(options).items():
        if times > 1:  # the last one would win without a word
            raise UserError(
                f"{option} is given {times} times: give it once, several values behind it where it takes them"
            )
    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed = tyro.cli(
                command, prog=f"presage {name}", args=list(arguments[1:]), config=(tyro.conf.FlagCreatePairsOff,)
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{_what_is_wrong(stop, complaint.getvalue())}; see presage {name} --help") from None
    _check_places(getattr(parsed, "tool", parsed))
    return parsed


def _check_places(command: Any) -> None:
    """Raise UserError where a command would write over what it reads, or twice into one place."""
    named: dict[Path, str] = {}
    fields = [field.name for field in dataclasses.fields(command)]
    for name in sorted(fields, key=lambda name: name in OUTPUTS):
        value = getattr(command, name)
        for path in value if isinstance(value, tuple) else (value,):
            if not isinstance(path, Path):
                continue
            other = named.setdefault(path.resolve(), name)
            if name in OUTPUTS and other != name:
                raise UserError(f"--{name} {path} is what --{other} names: choose another place")
    for place, name in named.items():
        around = next((folder for folder in place.parents if named.get(folder) in OUTPUTS), None)
        if around is not None and _is_file(command, named[around]):
            raise UserError(f"--{name} lies inside --{named[around]}, which is a file: choose another place")


def _is_file(command: Any, name: str) -> bool:
    hint = get_type_hints(type(command), include_extras=True)[name]
    return any(getattr(part, "metavar", "") == "FILE" for part in hint.__metadata__)


def _what_is_wrong(stop: BaseException, box: str) -> str:
    """The option and what a type of `options` says of its value, or tyro's own first sentence."""
    from presage.interface.commands.options import RefusedError

    said = _first_sentence(box)
    option = re.match(r"Error parsing (.+?): ", said)
    refused = next((error for error in _causes(stop) if isinstance(error, RefusedError)), None)
    return f"{option[1].split('/')[-1].strip('[] .')} {refused}" if option and refused else said


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def _first_sentence(box: str) -> str:
    """What tyro's framed complaint says: its lines between the title and the next rule, as one. A terminal without
    UTF-8 gets a frame of plain signs, and the title a line of its own."""
    lines = [line for line in (line.strip("│╭╮╰╯ ") for line in box.splitlines()) if line]
    rules = [i for i, line in enumerate(lines) if re.search(r"[─-]{3}$", line)]  # a title in its rule is one too
    between = lines[rules[0] + 1 : rules[1] if len(rules) > 1 else None] if rules else lines
    return " ".join(" ".join(between).split()).rstrip(".") or "the arguments do not fit"


if __name__ == "__main__":
    sys.exit(main())
