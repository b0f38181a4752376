"""`presage dream`: recorded actions dreamed again, and whether the model listens to them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from presage.errors import UserError
from presage.interface.commands.options import (
    Cameras,
    Columns,
    Command,
    Count,
    Data,
    MaybeCount,
    MaybeFolder,
    MaybeNatural,
    MaybeOutFile,
    MaybePixels,
    MaybeRate,
    MaybeSpan,
    MaybeText,
    Natural,
)
from presage.results.output import check_writable, command_line, show, summary, write_json, write_text
from presage.results.record import describe_run

if TYPE_CHECKING:
    from presage.episodes.dataset import Dataset
    from presage.simulator.frames.imagine import Imagines
    from presage.simulator.gate.clips import Clips
    from presage.simulator.gate.measure import Measured
    from presage.worlds.recording import Recording

SIZE = 64
"""Pixels a side that somebody else's model is shown by default"""


@dataclass(frozen=True, kw_only=True)
class Dream(Command):
    """Replay recorded actions in the dream: is it true to the recording, and does the model listen to its actions?

    No simulator is needed. Clips of held-out episodes are dreamed with their own actions and with wrong ones (another
    episode's, none, the first again and again, the same in another order). The answer is "listens", "does not listen"
    or "cannot tell".

        presage dream data/arm-parts/test --checkpoint runs/arm/model
        presage dream user/name --episodes 40:60 --checkpoint runs/name/model --steps 32
        presage dream data/arm --model my_model:Mine --size 128 --cameras wrist
        presage dream data/arm --model ws://127.0.0.1:8010

    Prints errors by camera and step beside the copied and the mean frame, and writes one HTML page with films side by
    side. docs/somebody_elses_model.md says what --model needs.
    """

    data: Positional[Data]
    """Dataset folder, or user/name on the Hugging Face hub."""
    checkpoint: MaybeFolder = None
    """Checkpoint folder, of a world model or of a system; the one that comes with presage by default."""
    model: MaybeText = None
    """Somebody else's model instead: module:object, or ws://HOST:PORT."""
    out: MaybeOutFile = None
    """The page; runs/dream/NAME.html by default."""
    episodes: MaybeSpan = None
    """Which episodes: 0:50, or 3,7,20:30. By default those that the checkpoint was not trained on, as far as it knows.
    """
    most: Count = 32
    """Episodes at most, chosen by --seed."""
    steps: Count = 16
    """Model steps of a dream, at most: three quarters of the episodes have to be long enough."""
    past: Count = 1
    """Frames that the model is shown first."""
    denoising: MaybeNatural = None
    """Denoising steps of a frame; by default as many as the model takes in every command: one, or none where it has a
    base prediction that redraws the robot."""
    films: Natural = 4
    """Episodes shown as films."""
    size: MaybePixels = None
    """With --model: pixels a side of what it sees; 64 by default."""
    cameras: Cameras = ()
    """With --model: what it looks through; all cameras by default."""
    fps: MaybeRate = None
    """With --model: actions per second; the dataset's by default."""
    chunk: MaybeCount = None
    """With --model: actions between two frames; by default so many that there are about five frames a second."""
    action: Columns = ()
    """With --model: columns of the action; `action` by default."""
    relative: Columns = ()
    """With --model: actions as differences from the state before their chunk; `all`: all but grippers."""

    def run(self) -> None:
        from presage.interface.pages.dream_page import Gate, render
        from presage.results.provenance import describe_checkpoint
        from presage.simulator.gate.clips import cut
        from presage.simulator.gate.figures import figures_of
        from presage.simulator.gate.measure import measure
        from presage.simulator.gate.verdict import judge

        self._check_options()
        page = self.out or Path("runs/dream") / f"{self.data.name or self.data.resolve().name}.html"
        check_writable(page)
        asks = self._somebody_elses if self.model is not None else self._own
        imagine, recording, notes = asks()
        clips = cut(recording, self.past, self.steps)
        said = f"{len(clips)} clips of {len(set(clips.episode.tolist()))} episodes, {clips.steps} steps each"
        print(f"dreaming {said}, with true and with wrong actions ...", flush=True)
        found, filmed = measure(imagine, clips, self.seed, self.films)
        verdict = judge(found, self.seed)
        about = [("asked", said), *self._about(clips, recording), *[("note", note) for note in notes]]
        whose = self.model or describe_checkpoint(self._folder())["name"]
        title = f"{whose} on {self.data.name or self.data.resolve().name}"
        write_text(page, render(Gate(title, found, verdict, filmed, recording.fps, about, command_line())))
        for i in range(len(found.cameras)):
            _print_camera(found, i)
        figures = figures_of(found, verdict)
        summary(f"{title}: {verdict.says}", _short(figures) | {"note": "; ".join(notes) or None, "page": page})
        if self.json is not None:
            write_json(self.json, describe_run(self.seed, figures, self._folder() if self.model is None else None))

    def _check_options(self) -> None:
        """Raise UserError for options that do not go together."""
        if self.model is not None:
            for option, given in (("--checkpoint", self.checkpoint), ("--denoising", self.denoising)):
                if given is not None:
                    raise UserError(f"{option} does not apply to --model: leave one of them out")
            return
        own = {name: getattr(self, name) for name in ("size", "cameras", "fps", "chunk", "action", "relative")}
        for name, given in own.items():
            if given:
                raise UserError(f"--{name} goes with --model alone: a checkpoint knows its own; leave it out")

    def _folder(self) -> Path:
        from presage.systems.shipped import default_checkpoint

        return self.checkpoint or default_checkpoint()

    def _open(self, trained_on: "frozenset[str] | None") -> "tuple[Dataset, list[str]]":
        """The chosen episodes, and what a person should know about the choice."""
        import numpy as np

        from presage.episodes.choose import parse_episodes
        from presage.simulator.recordings import held_out
        from presage.training.data import open_dataset

        chosen = None if self.episodes is None else parse_episodes(self.episodes)
        dataset = open_dataset(self.data, chosen)
        (fresh, known), notes = held_out(dataset, trained_on), list[str]()
        if not known and self.model is None:
            notes.append("the checkpoint does not say which episodes it was trained on, so these may be among them")
        numbers = [e.index for e in dataset.episodes]
        if chosen is None:
            if not fresh:
                raise UserError(
                    f"{self.data}: the model was trained on all of its {len(numbers)} episodes; give others, or "
                    "--episodes to see what it makes of these"
                )
            numbers = fresh
        elif len(fresh) < len(numbers):
            notes.append(f"the model was trained on {len(numbers) - len(fresh)} of these {len(numbers)} episodes")
        if len(numbers) > self.most:
            numbers = sorted(np.random.default_rng(self.seed).permutation(numbers)[: self.most].tolist())
        return open_dataset(self.data, numbers), notes

    def _own(self) -> "tuple[Imagines, Recording, list[str]]":
        """A checkpoint, and the dataset as it sees it."""
        from presage.simulator.recordings import recording_for, sight_of
        from presage.systems.dreams import imagines_of

        folder = self._folder()
        sight = sight_of(folder)
        dataset, notes = self._open(sight.trained_on)
        return imagines_of(folder, self.denoising, self.seed), recording_for(sight, dataset), notes

    def _somebody_elses(self) -> "tuple[Imagines, Recording, list[str]]":
        """A model behind start and step, and the dataset as the options say."""
        from presage.episodes.robot import Robot, holds_chunks
        from presage.serving.dreams import RemoteDreamer
        from presage.simulator.gate.others import load, one_by_one
        from presage.simulator.recordings import recording_of_robot
        from presage.worlds.collect import CHUNK

        name = str(self.model)
        dataset, notes = self._open(None)
        if holds_chunks(dataset):
            if self.fps or self.chunk or self.action or self.relative:
                raise UserError(
                    f"{self.data}: its rows hold a chunk each; leave --fps, --chunk, --action, --relative out"
                )
            sizes = {name: feature["shape"][0] for name, feature in dataset.features.items() if feature["shape"]}
            action, state = sizes["action"], sizes.get("observation.state", 0)
            cameras, fps = self.cameras or dataset.cameras, dataset.fps
            robot = Robot.of_chunked_rows(cameras, CHUNK, action // CHUNK, state, fps, str(dataset.robot_type))
        else:
            if "action" not in dataset.features and not self.action:
                raise UserError(f"{self.data}: no column 'action' to replay; name it with --action")
            how = (self.cameras, self.action, (), self.relative, self.fps, self.chunk)
            robot = replace(Robot.from_dataset(dataset, *how), overlap=False)
        model = RemoteDreamer(name) if name.startswith(("ws://", "wss://")) else load(name)
        return one_by_one(model), recording_of_robot(robot, dataset, self.size or SIZE), notes

    def _about(self, clips: "Clips", recording: "Recording") -> list[tuple[str, str]]:
        chunk, numbers = recording.chunk_shape
        return [
            ("episodes", ", ".join(str(recording.numbers[e]) for e in sorted(set(clips.episode.tolist())))),
            ("cameras", f"{', '.join(clips.cameras)}, {recording.size} pixels a side"),
            ("steps a second", f"{recording.fps:g}, each of {chunk} actions of {numbers} numbers"),
            ("frames that are shown first", str(self.past)),
        ]


def _print_camera(found: "Measured", camera: int) -> None:
    from presage.simulator.gate.figures import horizons, rows_of

    steps = horizons(found.steps)
    print(f"\n{found.cameras[camera] + ', after so many steps':<40}" + "".join(f"{step:>10}" for step in steps))
    for name, values in rows_of(found, camera):
        print(f"{name:<40}" + "".join(f"{show(float(values[step - 1])):>10}" for step in steps))


def _short(figures: dict[str, Any]) -> dict[str, Any]:
    """What the summary says."""
    shown = {"because": figures["reason"], "episodes": figures["episodes"], "steps": figures["steps"]}
    for name in (name for name in figures if f"{name}_low" in figures):
        low, high = figures[f"{name}_low"], figures[f"{name}_high"]
        shown[name.replace("_", " ")] = f"{show(figures[name])} [{show(low)}, {show(high)}]"
    return shown | {"beats every baseline for": f"{figures['beats_baselines_until']} steps"}
