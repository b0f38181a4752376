"""`presage play`: drive the robot in the dream, in a browser."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presage.errors import UserError
from presage.interface.commands.options import (
    Command,
    Connections,
    Host,
    MaybeData,
    MaybeFile,
    MaybeFolder,
    MaybeNatural,
    MaybeTask,
    Natural,
    OutFolder,
    Port,
    Use,
)
from presage.results.output import command_line, summary, write_json

if TYPE_CHECKING:
    from presage.interface.play.studio import Stage

TASK = "drawer-open-v3"


@dataclass(frozen=True, kw_only=True)
class Play(Command):
    """Drive the robot in the dream with keyboard, mouse or gamepad, on a web page of this machine.

    The page shows what the model imagines beside what the simulator really does on the same actions, and where they
    differ. Drive with the arrow keys or W A S D, E and Q for up and down, space for the gripper; let the policy drive
    and take over; rewind and try another way; knock the object and ground the dream again; see where the model is
    unsure. What you record is a LeRobot dataset that presage train takes as it is.

    With --data no simulator is needed: a dream begins in a recorded frame, beside what was recorded after it. The
    recorded actions drive it, the policy does, or you do, by one slider for each number of the action.

        presage play
        presage play --task door-open-v3 --seed 7
        presage play --data data/arm-parts/test --checkpoint runs/arm/model
        presage play --data data/arm --checkpoint runs/arm/model --episode 12 --row 30
        presage train --data data/played/0001 --out runs/played
        PRESAGE_API_KEY=$(openssl rand -hex 32) presage play --host 0.0.0.0

    Everybody who opens the page has a dream and a simulator of their own; a reload goes on with the same one. Other
    machines are let in only with a token, from the variable PRESAGE_API_KEY or --token-file; the printed address has
    it. Recordings appear as OUT/0001, OUT/0002, ... when they are stopped. Ctrl-C ends it with code 0.
    """

    checkpoint: MaybeFolder = None
    """Checkpoint folder; the one that comes with presage by default."""
    task: MaybeTask = None
    """Task to begin with, drawer-open-v3 by default; the page offers the others of its world. --seed counts the
    scenes to begin with from 600000 on: those below are kept for evaluation, and nothing is recorded in them."""
    data: MaybeData = None
    """Recordings in place of a simulator: a dataset's folder, or user/name on the Hugging Face hub. Episodes that the
    checkpoint was trained on are left out, as far as it says."""
    episode: MaybeNatural = None
    """Episode of --data to begin in, one that the checkpoint was trained on too; by default the one that --seed counts
    to among those it was not."""
    row: Natural = 0
    """With --episode: row to begin in, of model steps."""
    out: OutFolder = Path("runs/play")
    """Folder for recordings, one dataset each."""
    use: Use = "joint"
    """How the policy drives: joint, closed_loop, open_loop or no_imagination; a system has names of its own."""
    players: Connections = 4
    """Dreams at a time; more browsers are turned away. Each keeps its last minute, about 150 MB."""
    host: Host = "127.0.0.1"
    """Address to listen on; the default is reachable from this machine only."""
    port: Port = 8010
    """Port to listen on; 0 chooses a free one."""
    token_file: MaybeFile = None
    """File that holds the token."""

    def run(self) -> None:
        from presage.interface.doorway import page_address, token_for
        from presage.interface.play.server import PlayServer
        from presage.results.provenance import describe_checkpoint
        from presage.serving.host import run_until_signalled
        from presage.systems.shipped import default_checkpoint

        self._check_options()
        token = token_for(self.host, self.token_file)
        folder = self.checkpoint or default_checkpoint(tasks=[self.task or TASK])
        name = describe_checkpoint(folder)["name"]

        import torch

        # The browser draws on the same machine: with a core of its own neither waits for the other.
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))
        studio = self._simulated(folder) if self.data is None else self._recorded(folder, self.data)
        server = PlayServer(studio, name, self.out, token, self.seed)

        def ready(port: int) -> None:
            print(f"play with {name} at {page_address(self.host, port, token)} (Ctrl-C stops it)", flush=True)

        run_until_signalled(server, self.host, self.port, ready)
        figures = {"players": server.served, "recordings": studio.recordings}
        summary("played", figures)
        if self.json is not None:
            write_json(self.json, {"command": command_line(), "seed": self.seed, "figures": figures})

    def _check_options(self) -> None:
        """Raise UserError for options that do not go together."""
        if self.data is not None and self.task is not None:
            raise UserError("--task names a task of a simulator and does not apply to --data: leave it out")
        if self.data is None and self.episode is not None:
            raise UserError("--episode is of recordings and does not apply without --data: leave it out")
        if self.episode is None and self.row:
            raise UserError(f"--row {self.row}: say of which --episode")

    def _simulated(self, folder: Path) -> "Stage":
        from presage.device import default_device
        from presage.interface.play.studio import Studio
        from presage.policy import make_policy
        from presage.systems.checkpoint import load_for

        task = self.task or TASK
        model = load_for([task], folder, default_device())
        make_policy(self.use, model, self.seed)  # what cannot drive is said now, and not to every player
        return Studio(model, task, self.use, self._threshold(folder, [task]), self.players)

    def _recorded(self, folder: Path, data: Path) -> "Stage":
        from presage.device import default_device
        from presage.interface.play.recorded import RecordedStudio, action_names
        from presage.policy import make_policy
        from presage.simulator.recordings import open_held_out, sight_of
        from presage.systems.checkpoint import open_model

        sight = sight_of(folder)
        recording = open_held_out(sight, data, also=() if self.episode is None else (self.episode,))
        names, model = action_names(sight, recording), open_model(folder, default_device())
        make_policy(self.use, model, self.seed)
        begins: dict[str, Any] = {"episode": self.episode, "row": self.row}
        studio = RecordedStudio(model, recording, names, self.use, players=self.players, **begins)
        for note in recording.steps.notes:
            print(note, file=sys.stderr)
        studio.threshold = self._threshold(folder, studio.tasks)
        return studio

    def _threshold(self, folder: Path, tasks: list[str]) -> float:
        from presage.interface.play.studio import UNCALIBRATED
        from presage.simulator.success import load_threshold

        calibrated = load_threshold(folder, tasks)
        if calibrated is None:
            what = ", ".join(tasks[:3]) + (", ..." if len(tasks) > 3 else "")
            missing = f"no success threshold of this checkpoint was calibrated on {what}"
            print(f"{missing}: {UNCALIBRATED} stands in for it", file=sys.stderr)
        return UNCALIBRATED if calibrated is None else calibrated.threshold
