"""Ask lerobot in an environment of its own: its pins and presage's cannot be met together.

The environment variable PRESAGE_LEROBOT names the Python of such an environment, or several, separated by colons;
`benchmarks/interop/` builds them.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from presage.errors import UserError

VARIABLE = "PRESAGE_LEROBOT"
_SCRIPT = Path(__file__).with_name("lerobot_side.py")


def environments() -> list[Path]:
    """The Pythons that PRESAGE_LEROBOT names; none where it is not set.

    Raises:
        UserError: one of them does not exist.
    """
    found = [Path(name) for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    for python in found:
        if not python.is_file():
            raise UserError(
                f"{VARIABLE}: {python} does not exist; build it with benchmarks/interop/build.sh or unset it"
            )
    return found


def ask(python: Path, command: str, *arguments: object) -> dict[str, Any]:
    """Run a command of `lerobot_side.py` there and return its answer.

    Raises:
        UserError: it failed; the line ends with the last line it wrote.
    """
    # Nothing of this environment may shadow packages of that one, and a dataset on disk needs no network.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(python), str(_SCRIPT), command, *map(str, arguments)],
        env=clean | {"HF_HUB_OFFLINE": "1", "SVT_LOG": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(
            f"{python}: lerobot could not {command} ({lines[-1][:300]}); run benchmarks/interop/build.sh again"
        )
    return json.loads(done.stdout.strip().splitlines()[-1])
