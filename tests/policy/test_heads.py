"""Heads and translators: networks that the one sampler walks, for whatever corruption an action has."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.recorded import ACTIONS, CHUNK, moving_square
from torch import Tensor, nn

from presage.policy.features import candidates, latents
from presage.policy.heads import (
    ActionMLP,
    ActionTransformer,
    Convolved,
    Filmed,
    Gathered,
    PooledMLP,
    TwoLevels,
    VideoFormer,
    answer,
)
from presage.policy.translators import FramePair, of_others, repeated
from presage.systems.lab.cloning import Architecture, cloned_policy
from presage.systems.system import DEBUG
from presage.timeline.corruption import DDPM, Corruption, Flow, Regress
from presage.timeline.levels import Uniform
from presage.timeline.noise import streams
from presage.timeline.session import Session
from presage.timeline.streams import Stream
from presage.training.objectives.imitate import asked
from presage.training.recorded import shape_of

B, N, T, D = 4, 3, 4, 8


def action(corruption: Corruption) -> Stream:
    return Stream("action", 2, 3, corruption, acts=True)


def head_of(kind: str, stream: Stream) -> nn.Module:
    if kind == "pooled":
        return PooledMLP(D, 32, stream)
    if kind == "filmed":
        return Filmed(T, D, (32,), stream, side=2)
    if kind == "two levels":
        return TwoLevels(D - 1, T, 32, stream, layers=1)
    if kind == "gathered":
        return ActionMLP(Gathered(T, D, 16, 32), 32, stream)
    return ActionTransformer(VideoFormer(D, 32, places=T), 32, stream, layers=1)


@pytest.mark.parametrize(
    ("kind", "corruption"),
    [
        ("pooled", Regress()),
        ("transformer", Flow()),
        ("two levels", Flow()),
        ("filmed", Regress()),
        ("gathered", DDPM(100, "clean", limit=1.0)),
    ],
)
def test_a_head_learns_what_the_features_say(kind: str, corruption: Corruption) -> None:
    """Signs, all over the frames."""
    torch.manual_seed(0)
    stream, generator = action(corruption), torch.Generator().manual_seed(0)
    head = head_of(kind, stream)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)

    def sample(n: int) -> tuple[Tensor, Tensor, Tensor]:
        said = 2.0 * torch.randint(0, 2, (n, 2, 3), generator=generator) - 1
        features = torch.cat([said.flatten(1), torch.zeros(n, 2)], 1)
        return features[:, None, None].expand(-1, N, T, -1), torch.zeros(n, 256), said

    for _ in range(150):
        features, text, target = sample(32)
        asked(head, features, text, target, stream, Uniform(0.2), 1, generator).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    features, text, target = sample(64)
    found = answer(head, features, text, stream, streams(0, 64), steps=4)
    assert (found.sign() == target).float().mean() > 0.7  # chance is 0.5; convolutions mix places and learn last


def test_a_sampled_action_follows_its_rows_noise_and_a_regressed_one_has_none() -> None:
    torch.manual_seed(0)
    features, text = torch.randn(B, N, T, D), torch.zeros(B, 256)
    for corruption, differs in ((Flow("velocity"), True), (Regress(), False)):
        head = head_of("transformer", action(corruption)).eval()
        first, second = (answer(head, features, text, action(corruption), streams(s, B), 2) for s in (0, 1))
        assert torch.allclose(first, second) != differs


def test_words_choose_what_convolutions_look_for() -> None:
    """The same frames, and an action that is that of one place or of the other: the text says which."""
    torch.manual_seed(0)
    stream, generator = action(Regress()), torch.Generator().manual_seed(0)
    head = Filmed(T, D, (16,), stream, side=2)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for _ in range(200):
        shown = 2.0 * torch.randint(0, 2, (32, T, 6), generator=generator) - 1
        place = torch.randint(0, 2, (32,), generator=generator)
        text = F.one_hot(place, 256).float() * 16
        features = torch.cat([shown, torch.zeros(32, T, 2)], -1)[:, None]
        target = shown[torch.arange(32), 3 * place].view(32, 2, 3)
        loss = asked(head, features, text, target, stream, Uniform(), 1, generator).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss < 0.3  # 1: nothing is known; 0.5: the places are known, and not which of them


def test_a_former_tells_frames_apart() -> None:
    torch.manual_seed(0)
    former = VideoFormer(D, 32, queries=2).eval()
    x = torch.randn(B, N, T, D)
    assert former(x).shape == (B, N * 2, 32)
    assert not torch.allclose(former(x).unflatten(1, (N, 2)).mean(1), former(x.flip(1)).unflatten(1, (N, 2)).mean(1))


def test_a_translator_answers_the_chunk_between_its_frames() -> None:
    pair = FramePair(T, D, 16, action(Regress()))
    seen, text = torch.randn(B, 2, T, D), torch.zeros(B, 256)
    assert pair(seen, text, torch.zeros(B, 2, 3), torch.ones(B)).shape == (B, 2, 3)


def test_controls_change_the_future_and_not_what_is_seen() -> None:
    frames = torch.randn(B, N, T, D)
    for change in (repeated, of_others):
        np.testing.assert_array_equal(change(frames)[:, 0], frames[:, 0])
    assert torch.equal(repeated(frames)[:, 2], frames[:, 0])
    assert torch.equal(of_others(frames)[:, 1:], frames[[2, 3, 0, 1], 1:])  # not those of the row before


def test_two_levels_are_told_together() -> None:
    """What the clip's level does depends on the action's: the form is bilinear, and not a sum."""
    torch.manual_seed(0)
    stream = action(Flow())
    head = TwoLevels(D, T, 32, stream, layers=1)
    nn.init.normal_(head.leave.weight)
    hidden, text, x = torch.randn(1, N, T, D), torch.zeros(1, 256), torch.randn(1, 2, 3)

    def at(clip: float, level: float) -> Tensor:
        return head(torch.cat([hidden, torch.full((1, N, T, 1), clip)], -1), text, x, torch.tensor([level]))

    by_clip = [at(1.0, level) - at(0.2, level) for level in (0.9, 0.3)]
    assert by_clip[0].abs().max() > 1e-3 and not torch.allclose(*by_clip, atol=1e-4)


def test_convolutions_keep_where_things_are() -> None:
    torch.manual_seed(0)
    former = Convolved(16, 8, 32, frames=2).eval()
    for p in former.parameters():
        torch.nn.init.normal_(p, std=0.1)
    x = torch.randn(B, 2, 16, 8)
    assert former(x).shape == (B, 16, 32)
    for here, there in ((0, -1), (-1, 0)):  # opposite corners of the second frame
        moved = x.clone()
        moved[:, 1, here] += 0.1
        changed = (former(moved) - former(x)).abs().mean((0, 2))
        assert changed[here] > 2 * changed[there] and changed[here] > 1e-3


def test_one_vector_is_told_from_all_places() -> None:
    torch.manual_seed(0)
    former = Gathered(16, 8, 16, 32).eval()
    x = torch.randn(B, 1, 16, 8, requires_grad=True)
    said = former(x)
    said.square().sum().backward()
    assert said.shape == (B, 1, 32)
    assert x.grad is not None and (x.grad.abs().amax((1, 3)) > 0).all()


@pytest.mark.parametrize("architecture", ["flow", "diffusion"])
def test_candidates_differ_by_their_noise_and_answer_several_chunks(architecture: Architecture) -> None:
    torch.manual_seed(0)
    recorded = moving_square(episodes=2)
    shape = shape_of(recorded)
    model = cloned_policy(shape, DEBUG, architecture, chunks=3).build(shape).eval()
    for p in model.parts.parameters():
        torch.nn.init.normal_(p, std=0.1)
    session = Session(model, ["move"] * 2, context=0)
    session.observe({"image.front": recorded.frames["image.front"][[0, 8]]})
    asked: list[int] = []
    model.parts["head"].former.register_forward_hook(lambda *_: asked.append(1))
    drawn = candidates(latents(["image.front"]), 3)(session, 4)
    assert len(asked) == 1  # however many candidates, in however many steps
    assert drawn.shape == (2, 4, 3, CHUNK * ACTIONS) and drawn.abs().max() <= 1
    assert not torch.allclose(drawn[:, 0], drawn[:, 1]) and session.batch == 2
