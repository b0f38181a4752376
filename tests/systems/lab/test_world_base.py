"""W-base and the outcome head as debug twins: actions change pictures, words do not; a head reads how it ended."""

from pathlib import Path

import numpy as np
import torch
from tests.recorded import moving_square

from presage.systems.lab.artifacts import artifact
from presage.systems.lab.labels import Seen, read_card
from presage.systems.lab.outcome import COVERAGE, JUDGE, judge_part, judge_stage, judged_frames, with_outcome
from presage.systems.lab.world_base import world_base, world_model
from presage.systems.parts import codec_stage
from presage.systems.system import DEBUG
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.training.recorded import shape_of
from presage.training.stage import train_stages

PLAY = moving_square(8)
SHAPE = shape_of(PLAY)


def test_it_is_trained_once_and_its_card_says_what_it_saw(tmp_path: Path) -> None:
    system = world_base(SHAPE, DEBUG, {"labelled": 1.0})
    first, again = (
        artifact("w-base", system, SHAPE, {"labelled": PLAY}, [Seen("play", ("action",))], tmp_path) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values()))
    (folder,) = (path for path in (tmp_path / "artifacts").iterdir() if path.is_dir())
    assert read_card(folder).seen == (Seen("play", ("action",)),)
    other = artifact("w-base", system, SHAPE, {"labelled": moving_square(8, seed=1)}, [], tmp_path)
    assert not all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), other.state_dict().values()))


def test_actions_matter_and_words_do_not() -> None:
    torch.manual_seed(0)
    model = world_model(SHAPE, DEBUG).eval()
    for p in model.network.parameters():
        torch.nn.init.normal_(p, std=0.2)
    shown = []
    for words, scale in (("push", 0.0), ("pull", 0.0), ("push", 1.0)):
        session = Session(model, [words])
        session.observe({"image.front": PLAY.frames["image.front"][:1]})
        done = torch.full((1, SHAPE.chunk, SHAPE.action_dim), scale)
        shown.append(session.imagine(Schedule.forward(1), {"action": done}).values["image.front"])
    assert torch.equal(shown[0], shown[1]) and not torch.allclose(shown[0], shown[2])


def test_a_head_learns_how_it_ended_from_frames_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    height = PLAY.state[:, 0] / PLAY.state[:, 0].max()
    data = {"labelled": with_outcome(PLAY, COVERAGE, height)}
    model = world_model(SHAPE, DEBUG, beside=[COVERAGE], parts={JUDGE: judge_part(SHAPE, DEBUG, COVERAGE)})
    before = {name: x.clone() for name, x in model.state_dict().items()}
    stages = (codec_stage(DEBUG, {"labelled": 1.0}), judge_stage(["image.front"], COVERAGE, DEBUG, {"labelled": 1.0}))
    train_stages(model, stages, data, tmp_path, {}, quiet=True)
    moved = {name.split(".")[0] for name, x in model.state_dict().items() if not torch.equal(x, before[name])}
    assert moved == {"codecs", "parts"}
    said = judged_frames(model, PLAY.frames, np.repeat(PLAY.text, 64, 0), COVERAGE)
    assert said.shape == (64,) and np.isfinite(said).all()
