"""The reference model's debug twin: it trains, acts and dreams from pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tests.recorded import batch_of, moving_square

from presage.networks.base import next_values
from presage.systems.cloning import cloning
from presage.systems.reference import reference
from presage.systems.system import DEBUG
from presage.timeline.session import Session
from presage.training.recorded import shape_of
from presage.training.stage import train_stages

RECORDED = moving_square(rows=14)
SIZE = replace(DEBUG, steps=0.0002)


def test_it_trains_acts_and_dreams(tmp_path: Path) -> None:
    shape = shape_of(RECORDED)
    system = reference(shape, SIZE)
    model = train_stages(system.build(shape), system.stages, {"labelled": RECORDED}, tmp_path, {}, quiet=True)
    observation = {"image.front": RECORDED.frames["image.front"][:3], "state": RECORDED.state[:3]}
    for name in system.uses:
        policy = system.uses[name](model, 0)
        policy.reset(["move"] * 3)
        chunk = policy.act(observation)
        assert chunk.shape == (3, 2, 2) and np.isfinite(chunk).all()
    session = Session(model, ["move"] * 3)
    session.observe(observation)
    for i in range(3):
        dreamed = next_values(session, model.encode_action(RECORDED.action[i : i + 3]), steps=2)
        session.append(dreamed, imagined=True)
    assert session.step == 3
    picture = model.decode_images(dreamed)["image.front"]
    assert picture.shape == (3, 16, 16, 3) and len(np.unique(picture)) > 2
    assert all(bool(torch.isfinite(x).all()) for x in dreamed.values())


def test_its_baseline_clones_experts_alone(tmp_path: Path) -> None:
    shape = shape_of(RECORDED)
    system = cloning(shape, SIZE)
    model = train_stages(system.build(shape), system.stages, {"labelled": RECORDED}, tmp_path, {}, quiet=True)
    policy = system.uses["no_imagination"](model, 0)
    policy.reset(["move"] * 3)
    chunk = policy.act({"image.front": RECORDED.frames["image.front"][:3], "state": RECORDED.state[:3]})
    assert chunk.shape == (3, 2, 2) and np.isfinite(chunk).all()
    poor = replace(RECORDED, quality=np.zeros_like(RECORDED.quality))
    drawn = np.zeros(2, int), np.array([[0, 1, 2, 3], [14, 15, 16, 17]]), np.zeros((2, 4), bool)
    terms = system.stages[0].objective(model, batch_of(model, [poor], drawn), torch.Generator().manual_seed(0))
    assert set(terms) == {"action.alone"} and float(terms["action.alone"].mean) == 0
