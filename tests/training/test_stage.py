"""Stages on one loop, over a composed model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.errors import UserError
from presage.networks.composed import Composed
from presage.networks.packed import Packed
from presage.networks.transformer import Transformer, TransformerConfig
from presage.timeline.levels import GIVEN, Levels, Role, Schedule, Uniform
from presage.timeline.session import Session
from presage.timeline.streams import Stream
from presage.training.fingerprint import Entry, Fingerprint
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.recorded import Recorded, shape_of
from presage.training.stage import Stage, train_stages
from tests.recorded import ACTIONS, CHUNK, SIZE, moving_square

K = Uniform(0.3)
JOINT, FORWARD = Role(K, K), Role(K, GIVEN)


def small_model(recorded: Recorded) -> Composed:
    torch.manual_seed(0)
    codec = PixelCodec(PixelCodecConfig(SIZE, 4))
    streams = [
        Stream("what is done", 1, CHUNK * ACTIONS, acts=True, source="action"),
        Stream("what is seen", codec.config.tokens, codec.config.token_dim, source="image.front"),
    ]
    network = Transformer(TransformerConfig(width=32, layers=1, heads=2, streams=streams))
    return Composed(streams, {"image.front": codec}, Packed(network, streams, 2), shape_of(recorded), 2)


def stage(steps: int, **changes: Any) -> Stage:
    optimiser = Optimiser(steps=steps, batch=8, warmup=2, save_every=5, log_every=5)
    return replace(Stage("joint", Denoise(Levels((JOINT, FORWARD)), questions=1), optimiser=optimiser), **changes)


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    recorded = moving_square()
    straight, killed = small_model(recorded), small_model(recorded)
    train_stages(straight, [stage(10)], {"labelled": recorded}, tmp_path / "straight", {}, quiet=True)

    calls, ask = [0], Denoise.__call__

    def dies_in_the_eighth_step(self: Denoise, *rest: Any) -> Any:
        calls[0] += 1
        if calls[0] == 8:
            raise InterruptedError
        return ask(self, *rest)

    with pytest.raises(InterruptedError), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Denoise, "__call__", dies_in_the_eighth_step)
        train_stages(killed, [stage(10)], {"labelled": recorded}, tmp_path / "killed", {}, quiet=True)
    again = small_model(recorded)
    train_stages(again, [stage(10)], {"labelled": recorded}, tmp_path / "killed", {}, quiet=True)
    for name, value in straight.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)


def test_a_stage_trains_its_modules_alone_and_other_data_is_refused(tmp_path: Path) -> None:
    recorded = moving_square()
    model = small_model(recorded)
    train_stages(model, [stage(2)], {"labelled": recorded}, tmp_path, {}, quiet=True)
    with pytest.raises(UserError, match="no data of kind 'dreams'"):
        train_stages(model, [stage(2, name="other", data={"dreams": 1.0})], {"labelled": recorded}, tmp_path, {})
    with pytest.raises(UserError, match="--only sleep: stages are joint"):
        train_stages(model, [stage(2)], {"labelled": recorded}, tmp_path, {}, only="sleep")


def test_data_made_otherwise_are_other_data(tmp_path: Path) -> None:
    def train(ahead: int) -> None:
        made = stage(2, data={"made": 1.0}, make={"made": lambda model, data: data["labelled"].delayed(ahead)})
        train_stages(small_model(recorded), [made], {"labelled": recorded}, tmp_path, {}, quiet=True)

    recorded = moving_square()
    train(1)
    train(1)
    with pytest.raises(UserError, match="was made from other stage joint"):
        train(2)


def test_a_stage_alone_stands_on_those_before_it_which_are_finished(tmp_path: Path) -> None:
    recorded = moving_square()
    stages = [stage(2), stage(2, name="more")]

    def only(name: str) -> None:
        train_stages(small_model(recorded), stages, {"labelled": recorded}, tmp_path, {}, only=name, quiet=True)

    with pytest.raises(UserError, match="--only more: stage joint comes before it and is not finished"):
        only("more")
    only("joint")
    assert not (tmp_path / "more").exists()
    only("more")
    assert (tmp_path / "more").exists()


def test_a_composed_model_learns_what_is_seen(tmp_path: Path) -> None:
    recorded = moving_square(episodes=20)
    model = small_model(recorded)
    train_stages(model, [stage(60)], {"labelled": recorded}, tmp_path, {}, quiet=True)
    session = Session(model, torch.from_numpy(recorded.text[[0, 0]]))
    session.observe({"image.front": recorded.frames["image.front"][[0, 8]]})
    given = {"what is done": model.encode_action(recorded.action[[0, 8]])}
    seen = session.imagine(Schedule.forward(1), given).values["what is seen"]
    truth = model.encode_pictures("image.front", recorded.frames["image.front"][[1, 9]])
    assert (seen - truth).square().mean() < 0.3 * truth.square().mean()  # an untrained one says 0 everywhere
    assert np.isfinite(model.decode_images({"what is seen": seen})["image.front"]).all()


CALLS: list[str] = []
"""Of what follows; a stage is known by what its functions close over, so they do not close over this"""


def shuffled(model: Composed, data: Mapping[str, Recorded]) -> Recorded:
    CALLS.append("shuffled")
    return data["labelled"].shuffled()


def zeros(model: Composed) -> None:
    CALLS.append("zeros")
    torch.nn.init.zeros_(model.get_parameter("network.network.text.bias"))


def test_a_stage_begins_with_weights_that_start_from_others_and_a_resumed_one_keeps_its_own(tmp_path: Path) -> None:
    recorded = moving_square()
    model = small_model(recorded)
    CALLS.clear()
    for steps in (2, 4):  # in the second call it is resumed
        train_stages(model, [stage(steps, begin=zeros)], {"labelled": recorded}, tmp_path, {}, quiet=True)
        assert model.get_parameter("network.network.text.bias").any()
    assert CALLS == ["zeros"] * 2


def test_a_finished_stage_is_loaded_and_its_data_are_not_made_again(tmp_path: Path) -> None:
    recorded = moving_square()
    CALLS.clear()
    stages = [stage(5, data={"shuffled": 1.0}, make={"shuffled": shuffled}), stage(5, name="more")]

    def trained(count: int, out: str, made_from: Fingerprint) -> Composed:
        model = small_model(recorded)
        return train_stages(model, stages[:count], {"labelled": recorded}, tmp_path / out, made_from, quiet=True)

    whole = trained(2, "whole", {}).state_dict()
    first = trained(1, "again", {})
    assert CALLS == ["shuffled"] * 2
    again = trained(2, "again", {})
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in whole.items())
    loaded = trained(1, "again", {})
    assert all(torch.equal(x, loaded.state_dict()[name]) for name, x in first.state_dict().items())
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    with pytest.raises(UserError, match="made from other data: give the run another --out"):
        trained(1, "again", {"data": Entry("#1", "data")})
    assert CALLS == ["shuffled"] * 2


def test_delayed_rows_hold_the_action_that_comes_later_in_their_episode() -> None:
    recorded = moving_square(episodes=2, rows=4)
    later = recorded.delayed(1)
    assert np.array_equal(later.action[:3], recorded.action[1:4]) and np.array_equal(
        later.action[4:7], recorded.action[5:]
    )
    assert later.labelled.tolist() == [True, True, True, False] * 2
