"""Every published figure and the controls that could refute it: one module a bench, each with `run(args) -> figures`.

`presage bench NAME` runs one and adds command, seed, checkpoint, commit, versions and machine. Modules are imported
when they run: a listing of benches costs nothing.
"""

BENCHES: dict[str, tuple[str, str]] = {
    "collect": ("presage.benchmarks.collect", "recording rate: simulate, render, encode, write, on two workers"),
    "worlds": ("presage.benchmarks.worlds", "every world: success of the experts, exact snapshots, recording rate"),
    "codec": ("presage.benchmarks.codec", "fidelity of the image codec: all pixels; gripper, object and goal"),
    "loading": (
        "presage.benchmarks.loading",
        "random windows per second that training draws, beside lerobot's loader",
    ),
    "damage": ("presage.benchmarks.damage", "damaged datasets: tracebacks, hangs and silent trainings (none)"),
    "interop": ("presage.benchmarks.interop", "datasets written by lerobot read by presage, and the other way round"),
    "control": ("presage.benchmarks.control", "success of every way to act, beside behaviour cloning and the expert"),
    "realtime": ("presage.benchmarks.realtime", "replanning rate and deadlines against a wall clock"),
    "readers": ("presage.benchmarks.readers", "the readers of poses in images: errors on held-out real frames"),
    "dream": ("presage.benchmarks.dream", "long dreams, asked of their frames: objects, sharpness, actions, contacts"),
    "cache": ("presage.benchmarks.cache", "cached against recomputed sessions: same numbers, how much faster"),
    "evaluation": ("presage.benchmarks.evaluation", "does imagination rank policies as the simulator does"),
    "recordings": (
        "presage.benchmarks.recordings",
        "from recordings alone: does the gate find deaf models, are policies ranked as the simulator does",
    ),
    "planning": ("presage.benchmarks.planning", "best of N imagined futures, beside random choice and an oracle"),
    "synthesis": ("presage.benchmarks.synthesis", "are the labels of real and dreamed videos executable"),
    "representation": ("presage.benchmarks.representation", "features of the video model, beside random weights"),
    "serving": ("presage.benchmarks.serving", "a policy server under load, malformed messages and killed clients"),
    "play": ("presage.benchmarks.play", "a person's page: frames a second, key to frame, memory, players at once"),
    "backbone": ("presage.benchmarks.backbone", "Wan 2.1 behind the session: as published, cached, causal, trainable"),
    "throughput": ("presage.benchmarks.throughput", "imagined steps a second, beside the simulator's own, on one core"),
    "training": ("presage.benchmarks.training", "training speed as a share of what this machine can multiply"),
}
"""name -> (module with `run(args: BenchArgs) -> dict`, what it measures)"""
