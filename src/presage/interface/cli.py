"""`presage COMMAND ...`: finds the command, parses its arguments with tyro, makes bad input one line and exit code 2.

A command is a frozen dataclass, one field per option, with `run()`. Its docstring is its help. Modules of commands are
imported when they are called, and they import what is heavy when they run, so `presage --help` answers at once.
"""

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import presage
from presage.errors import UserError

COMMANDS: dict[str, tuple[str, str, str]] = {
    "collect": ("collect", "Collect", "record scripted experts in the simulator as a LeRobot dataset"),
    "inspect": ("inspect", "Inspect", "show what is in a LeRobot dataset and what is wrong with it"),
    "dataset": ("dataset", "DatasetCommand", "merge, split, filter, append to or re-encode LeRobot datasets"),
    "train": ("train", "Train", "train the image codec and the world model on datasets; a killed run resumes"),
    "act": ("use", "Act", "let the model control the robot in the simulator"),
    "evaluate": ("use", "Evaluate", "judge policies in imagination and compare with the simulator"),
    "synthesize": ("use", "Synthesize", "dream episodes, label them with actions, write them as a dataset"),
    "plan": ("use", "PlanCommand", "imagine several futures and act on the best"),
    "play": ("play.command", "Play", "drive the robot in the dream yourself, in a browser, and record it"),
    "models": ("models", "Models", "list the models presage can load, what they need, and which are on this machine"),
    "serve": ("serve", "Serve", "serve the model to robots over openpi's websocket protocol"),
    "bench": ("bench", "Bench", "measure one published figure with its controls"),
    "figures": ("figures", "Figures", "turn bench results into docs/figures.md"),
    "report": ("report", "Report", "make one page of any results, with films, tables and curves, to share"),
    "demo": ("demo", "Demo", "run all seven uses of the shipped model and write one HTML page"),
}
"""name -> (module of presage.interface, class, one line of help)"""

_HELP = """usage: presage COMMAND [options]

Video world models for robot control: one model as the simulator and as the policy.

{commands}

presage COMMAND --help says what a command does, shows an example, and where its output goes.
Every command takes --seed S and --json FILE (its figures, machine-readable).
Start with: presage demo
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0, 2 for bad input, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("MUJOCO_GL", "egl")  # before anything imports mujoco, which reads it once
    try:
        if not arguments or arguments[0] in ("-h", "--help", "help"):
            lines = [f"  {name:<11} {line}" for name, (_, _, line) in COMMANDS.items()]
            print(_HELP.format(commands="\n".join(lines)), end="")
            return 0
        if arguments[0] == "--version":
            print(f"presage {presage.__version__}")
            return 0
        parse(arguments).run()
    except UserError as error:
        print(f"presage: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("presage: interrupted; what was already whole is kept", file=sys.stderr)
        return 130
    return 0


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
    command = getattr(importlib.import_module(f"presage.interface.{module}"), attribute)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                command, prog=f"presage {name}", args=list(arguments[1:]), config=(tyro.conf.FlagCreatePairsOff,)
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{_first_sentence(complaint.getvalue())}; see presage {name} --help") from None


def _first_sentence(box: str) -> str:
    """What tyro's framed complaint says: its lines between the title and the first rule, as one."""
    lines = [line.strip("│ ").strip() for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    said: list[str] = []
    for line in lines:
        if said and set(line) == {"─"}:
            break
        said.append(line)
    return " ".join(" ".join(said).split()).rstrip(".") or "the arguments do not fit"


if __name__ == "__main__":
    sys.exit(main())
