"""`presage play`: drive the robot in the dream, in a browser."""

from dataclasses import dataclass
from pathlib import Path

from presage.interface.commands.options import (
    Command,
    Connections,
    Host,
    MaybeFile,
    MaybeFolder,
    OutFolder,
    Port,
    Task,
    Use,
)
from presage.results.output import command_line, summary, write_json


@dataclass(frozen=True, kw_only=True)
class Play(Command):
    """Drive the robot in the dream with keyboard, mouse or gamepad, on a web page of this machine.

    The page shows what the model imagines beside what the simulator really does on the same actions, and where they
    differ. Drive with the arrow keys or W A S D, E and Q for up and down, space for the gripper; let the policy drive
    and take over; rewind and try another way; knock the object and ground the dream again; see where the model is
    unsure. What you record is a LeRobot dataset that presage train takes as it is.

        presage play
        presage play --task door-open-v3 --seed 7
        presage play --checkpoint runs/mt10/model --data data/mt10 --out data/played
        presage train --data data/played/0001 --out runs/played
        PRESAGE_API_KEY=$(openssl rand -hex 32) presage play --host 0.0.0.0

    Everybody who opens the page has a dream and a simulator of their own; a reload goes on with the same one. Other
    machines are let in only with a token, from the variable PRESAGE_API_KEY or --token-file; the printed address has
    it. Recordings appear as OUT/0001, OUT/0002, ... when they are stopped. Ctrl-C ends it with code 0.
    """

    checkpoint: MaybeFolder = None
    """Checkpoint folder; the one that comes with presage by default."""
    task: Task = "drawer-open-v3"
    """Task to begin with; the page offers the others of its world. --seed is the scene to begin with."""
    data: MaybeFolder = None
    """Dataset whose recorded frames a dream can start from."""
    out: OutFolder = Path("runs/play")
    """Folder for recordings, one dataset each."""
    use: Use = "joint"
    """How the policy drives: joint, closed_loop, open_loop or no_imagination."""
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
        from presage.interface.play.studio import UNCALIBRATED, Studio, open_data
        from presage.results.provenance import describe_checkpoint
        from presage.serving.host import run_until_signalled
        from presage.systems.shipped import default_checkpoint

        token = token_for(self.host, self.token_file)
        folder = self.checkpoint or default_checkpoint()
        name = describe_checkpoint(folder)["name"]

        import torch

        from presage.device import default_device
        from presage.simulator.success import load_threshold
        from presage.systems.checkpoint import load_for

        model = load_for([self.task], folder, default_device())
        # The browser draws on the same machine: with a core of its own neither waits for the other.
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))
        data = None if self.data is None else open_data(self.data, model)
        calibrated = load_threshold(folder, [self.task])
        if calibrated is None:
            print(
                f"no success threshold of this checkpoint was calibrated on {self.task}: {UNCALIBRATED} "
                "stands in for it"
            )
        threshold = UNCALIBRATED if calibrated is None else calibrated.threshold
        studio = Studio(model, self.task, self.use, threshold, self.players, data)
        server = PlayServer(studio, name, self.out, token, self.seed)

        def ready(port: int) -> None:
            print(f"play with {name} at {page_address(self.host, port, token)} (Ctrl-C stops it)", flush=True)

        run_until_signalled(server, self.host, self.port, ready)
        figures = {"players": server.served, "recordings": studio.recordings}
        summary("played", figures)
        if self.json is not None:
            write_json(self.json, {"command": command_line(), "seed": self.seed, "figures": figures})
