"""`presage serve`: the model answers robots over openpi's websocket protocol."""

import sys
from dataclasses import dataclass

from tyro.conf import Positional

from presage.errors import UserError
from presage.interface.commands.options import (
    Command,
    Connections,
    Host,
    MaybeFile,
    MaybeFolder,
    MaybeText,
    Port,
    Seconds,
    Use,
)
from presage.results.output import summary, write_json
from presage.results.record import describe_run
from presage.serving.host import KEY_VARIABLE, api_key, is_loopback, run_until_signalled


@dataclass(frozen=True, kw_only=True)
class Serve(Command):
    """Serve a model as a policy to robots, over the websocket protocol of openpi: openpi's clients connect unchanged.

    A connection is an episode: send an observation, get the action chunk to execute until the next one. Requests that
    wait at the same time are computed in one batch. GET /healthz and GET /metrics answer on the same port.

    A model trained on your own robot is served in that robot's terms: its cameras in any size, its state, and the
    commands that it executes.

        presage serve
        presage serve runs/mt10/model --use no_imagination --port 8001
        presage serve runs/both/model --robot arm
        PRESAGE_API_KEY=... presage serve --host 0.0.0.0

    Other machines are let in only with a key, from the variable PRESAGE_API_KEY or --api-key-file; clients send it as
    `Authorization: Api-Key KEY`. SIGTERM and Ctrl-C finish what runs and exit with code 0.
    """

    checkpoint: Positional[MaybeFolder] = None
    """Checkpoint folder; the one that comes with presage by default."""
    use: Use = "joint"
    """joint, closed_loop, open_loop or no_imagination; a system has names of its own."""
    robot: MaybeText = None
    """The robot to serve, where the model was trained on several."""
    host: Host = "127.0.0.1"
    """Address to listen on; the default is reachable from this machine only."""
    port: Port = 8000
    """Port to listen on; 0 chooses a free one."""
    api_key_file: MaybeFile = None
    """File that holds the key."""
    deadline: Seconds = 2.0
    """Seconds that a request may wait; older ones are answered with an error instead of being computed."""
    sessions: Connections = 64
    """Connections at a time; more are turned away."""

    def run(self) -> None:
        from presage.policy import make_policy, uses_of
        from presage.results.provenance import describe_checkpoint
        from presage.systems.shipped import default_checkpoint

        key = api_key(self.api_key_file)
        if key is None and not is_loopback(self.host):
            raise UserError(f"--host {self.host} lets other machines in: set {KEY_VARIABLE} or give --api-key-file")
        folder = self.checkpoint or default_checkpoint()
        name = describe_checkpoint(folder)["name"]

        import presage
        from presage.device import default_device
        from presage.policy.embodied import choose_robot
        from presage.serving.server import PolicyServer
        from presage.systems.checkpoint import open_model

        robot = choose_robot(folder, self.robot)
        model = open_model(folder, default_device())
        make_policy(self.use, model, self.seed)  # what cannot be served is said now, and not to every robot
        uses = list(uses_of(model))
        metadata = {"server": f"presage {presage.__version__}", "model": name, "use": self.use, "uses": uses}
        server = PolicyServer(
            lambda: make_policy(self.use, model, self.seed),
            model,
            metadata,
            key,
            self.deadline,
            self.sessions,
            robot,
        )

        def ready(port: int) -> None:
            host = f"[{self.host}]" if ":" in self.host else self.host
            whom = name if robot is None else f"{name} to {robot.name}"
            if robot is not None and not robot.robot.recorded:
                print(
                    f"presage: {folder} does not say which pictures training saw: send them as recorded",
                    file=sys.stderr,
                )
            print(f"serving {self.use} of {whom} on ws://{host}:{port} (Ctrl-C stops it)", flush=True)

        run_until_signalled(server, self.host, self.port, ready)
        figures = {
            "requests": server.metrics.seconds.count,
            "mean_batch": server.metrics.batches.mean,
            **{f"errors/{kind}": n for kind, n in sorted(server.metrics.errors.items())},
        }
        summary("served", figures)
        if self.json is not None:
            write_json(self.json, describe_run(self.seed, figures))
