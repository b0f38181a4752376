"""What is trained is what a session computes: every prediction that the loss scores, asked of a session with the same
past, is the same number."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from presage.training.losses import Batch, LossConfig, timeline_loss
from torch import Tensor

from presage.codecs.scalars import ScalarCodec
from presage.networks.names import ACTION, PROGRESS, STATE, VIDEO
from presage.networks.world_model import WorldModel
from presage.timeline.levels import Law, Plan
from presage.timeline.session import Session
from tests.tiny import tiny_model
from tests.training.test_losses import random_batch

BLOCKS = 5
PLAIN = LossConfig(
    noisy_blocks=BLOCKS - 1, context_noise=0.0, drop_actions=0.0, drop_quality=0.0, memoryless=0.0, dreamed=0.0
)
Values = dict[str, Tensor]
Plans = Callable[[float, float], Plan]
MODES: dict[str, tuple[Law, Plans]] = {
    "forward": (Law(0, 0, 1, 0, 0), lambda video, action: Plan((video, 0.0), (0.0, 0.0))),
    "inverse": (Law(0, 0, 0, 1, 0), lambda video, action: Plan((0.0, 0.0), (action, 0.0))),
    "joint": (Law(1, 0, 0, 0, 0), lambda video, action: Plan((video, 0.0), (action, 0.0))),
    "independent": (Law(0, 1, 0, 0, 0), lambda video, action: Plan((video, 0.0), (action, 0.0))),
    "video": (Law(0, 0, 0, 0, 1), lambda video, action: Plan((video, 0.0), (1.0, 1.0))),
}


@dataclass
class Seen:
    """What a loss fed to the network and what it made of that, in its order."""

    embedded: list[tuple[str, Tensor | None, Tensor]] = field(default_factory=list)
    """stream, values (B, N, T, C), levels (B, N)"""
    predicted: list[tuple[str, Tensor]] = field(default_factory=list)
    progress: list[Tensor] = field(default_factory=list)


def look(model: WorldModel, batch: Batch, config: LossConfig, seed: int, monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen, embed, predict, read = Seen(), model.network.embed, model.predict, model.network.read

    def embedding(stream: str, x: Tensor | None, level: Tensor, *rest: Any, **more: Any) -> Tensor:
        seen.embedded.append((stream, x, level))
        return embed(stream, x, level, *rest, **more)

    def predicting(stream: Any, hidden: Tensor, before: Tensor | None) -> Tensor:
        out = predict(stream, hidden, before)
        seen.predicted.append((stream.name, out))
        return out

    def reading(stream: str, hidden: Tensor) -> Tensor:
        if stream == PROGRESS:
            seen.progress.append(read(stream, hidden))
        return read(stream, hidden)

    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(model.network, "embed", embedding)
        patch.setattr(model, "predict", predicting)
        patch.setattr(model.network, "read", reading)
        timeline_loss(model, batch, config, torch.Generator().manual_seed(seed))
    return seen


def session_until(model: WorldModel, batch: Batch, block: int, config: LossConfig, quality: float = 1.0) -> Session:
    """A session that has seen the blocks of the batch up to `block`, as the loss shows them."""
    window = 0 if config.memoryless else None
    session = Session(model, batch.text, quality, window=window)
    for i in range(block + 1):
        shown = {**batch.values, **(batch.dreamed if config.dreamed else {})}
        values = {s.name: shown[s.name][:, i] for s in model.streams if s.kind in (VIDEO, STATE)}
        if i and not config.drop_actions:
            values[ACTION] = batch.values[ACTION][:, i - 1]
        session.append(values)
    return session


def assert_same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def compare(
    model: WorldModel,
    batch: Batch,
    config: LossConfig,
    plans: Plans,
    seed: int,
    patch: pytest.MonkeyPatch,
    quality: float = 1.0,
) -> int:
    """Ask a session for every noisy block of a loss; returns how many predictions were compared."""
    seen = look(model, batch, config, seed, patch)
    denoised = [s for s in model.streams if s.is_denoised]
    first = len(seen.embedded) - sum(not s.is_query for s in model.streams)
    noisy = {name: (x, level) for name, x, level in seen.embedded[first:]}
    predicted = dict(seen.predicted[1:])
    compared = 0
    for m in range(BLOCKS - 1):
        session = session_until(model, batch, m, config, quality)
        x = {s.name: noisy[s.name][0][:, m] for s in denoised}
        video, action = (float(noisy[name][1][0, m]) for name in (f"{VIDEO}.front", ACTION))
        given = {STATE: x[STATE]} if STATE in x and float(noisy[STATE][1][0, m]) == 0 else {}
        patch.setattr(session, "_start", lambda streams, levels, given, x=x: dict(x))
        plan = plans(video, action)
        dream = session.imagine(plan, given)
        for s in denoised:
            levels = plan.action if s.kind == ACTION else plan.video
            if levels is not None and levels[0] != levels[1] and not (s.kind == STATE and given):
                assert_same(dream.values[s.name], predicted[s.name][:, m])
                compared += 1
    return compared


def without_parts() -> WorldModel:
    model = tiny_model()
    bare = WorldModel(
        replace(model.config, kinematics=0, renderer=0), ScalarCodec([0.0] * 16, [1.0] * 16), model.state_codec
    )
    bare.network.load_state_dict(model.network.state_dict())
    return bare.eval()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("full_noise", [0.0, 1.0])
def test_every_mode_at_every_block(mode: str, full_noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model, (law, plans) = tiny_model(), MODES[mode]
    config = replace(PLAIN, law=replace(law, full_noise=full_noise))
    expected = {"forward": 2, "inverse": 1, "video": 3}.get(mode, 4) * (BLOCKS - 1)
    assert compare(model, random_batch(model, 1, BLOCKS), config, plans, 0, monkeypatch) == expected


def test_longer_pasts_than_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (law, plans) = tiny_model(window=2), MODES["joint"]
    compare(model, random_batch(model, 1, BLOCKS), replace(PLAIN, law=law), plans, 1, monkeypatch)


def test_without_a_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (law, plans) = tiny_model(), MODES["joint"]
    config = replace(PLAIN, law=law, memoryless=1.0)
    assert compare(model, random_batch(model, 1, BLOCKS), config, plans, 0, monkeypatch)


def test_past_actions_that_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (law, plans) = without_parts(), MODES["joint"]  # kinematics feel actions, whether they are shown or not
    config = replace(PLAIN, law=law, drop_actions=1.0)
    assert compare(model, random_batch(model, 1, BLOCKS), config, plans, 0, monkeypatch)


def test_quality_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (law, plans) = tiny_model(), MODES["joint"]
    config = replace(PLAIN, law=law, drop_quality=1.0)
    assert compare(model, random_batch(model, 1, BLOCKS), config, plans, 0, monkeypatch, quality=float("nan"))


def test_dreamed_frames_in_the_place_of_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (law, plans) = tiny_model(), MODES["forward"]
    batch = random_batch(model, 1, BLOCKS)
    dreamed = {name: x + 0.5 for name, x in batch.values.items() if name.startswith(VIDEO)}
    batch = replace(batch, dreamed=dreamed, dream_known=torch.ones_like(batch.dream_known))
    config = replace(PLAIN, law=law, dreamed=1.0)
    assert compare(model, batch, config, plans, 0, monkeypatch)


@pytest.mark.parametrize("memoryless", [0.0, 1.0])
def test_the_policy_after_every_frame(memoryless: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    batch, config = random_batch(model, 1, BLOCKS), replace(PLAIN, memoryless=memoryless)
    seen = look(model, batch, config, 0, monkeypatch)
    (_, noisy, level) = [each for each in seen.embedded if each[0] == ACTION][1]
    for i in range(BLOCKS):
        session = session_until(model, batch, i, config)
        monkeypatch.setattr(session, "_start", lambda streams, levels, given, i=i: {ACTION: noisy[:, i]})
        chunk = session.imagine(Plan(None, (float(level[0, i]), 0.0))).values[ACTION]
        assert_same(chunk, seen.predicted[0][1][:, i])


@pytest.mark.parametrize("memoryless", [0.0, 1.0])
def test_progress_of_every_frame(memoryless: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    batch, config = random_batch(model, 1, BLOCKS), replace(PLAIN, memoryless=memoryless)
    (progress,) = look(model, batch, config, 0, monkeypatch).progress
    for i in range(BLOCKS):
        assert_same(session_until(model, batch, i, config).last.progress, progress[:, i, 0, 0].clamp(0, 1))


def test_a_past_that_differs_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (law, plans) = tiny_model(), MODES["joint"]
    batch, config = random_batch(model, 1, BLOCKS), replace(PLAIN, law=law)
    rolled = {**batch.values, ACTION: batch.values[ACTION].roll(1, 1)}
    until = session_until

    def late(model: WorldModel, batch: Batch, *rest: Any) -> Session:
        return until(model, replace(batch, values=rolled), *rest)

    monkeypatch.setitem(globals(), "session_until", late)
    with pytest.raises(AssertionError):
        compare(model, batch, config, plans, 0, monkeypatch)
