"""Windows as one sequence, and a network's memory behind a session: cached equals uncached, truth overwrites, forks
share, rewinds cut, words reach the whole past, rows do not know of each other."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.timeline.test_attention import tokens_of
from tests.tiny import grounded, tiny_chunk, tiny_model, tiny_observation

from presage.networks.base import step, value_of
from presage.networks.names import ACTION, VALUE
from presage.networks.packed import KV, Packed
from presage.networks.transformer import Transformer, TransformerConfig
from presage.networks.world_model import WorldModel
from presage.policy.representation import video_features
from presage.timeline.attention import Tokens, teacher_forced
from presage.timeline.backbone import Condition, Tap, Window
from presage.timeline.corruption import Flow
from presage.timeline.levels import Schedule
from presage.timeline.memory import Memory
from presage.timeline.session import Block, Session
from presage.timeline.streams import Stream


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return tiny_model()


@torch.inference_mode()
def uncached_value(model: WorldModel, history: list[Block], condition: Condition) -> torch.Tensor:
    """Value of the newest step from one pass over the whole history, with no memory at all."""
    parts, tokens = [], []
    for block in history:
        tokens.append(tokens_of(model.streams, [block.index], 0))
        values = {**block.values, **{s.name: s.derive(block.values) for s in model.streams if s.derive is not None}}
        for s in model.streams:
            x = values.get(s.name)
            level = torch.full((len(condition.text), 1), 1.0 if x is None else 0.0)
            parts.append(model.network.embed(s.name, None if x is None else x[:, None], level, condition)[:, 0])
    all_tokens = Tokens.cat(tokens)
    mask = teacher_forced(model.context)(all_tokens, all_tokens)
    hidden, _ = model.network(torch.cat(parts, 1), all_tokens.step, mask)
    return model.network.read(VALUE, hidden[:, -1])[:, 0].clamp(0, 1)


@settings(max_examples=8)
@given(window=st.integers(1, 4), steps=st.integers(1, 8))
def test_cached_equals_uncached_with_eviction(window: int, steps: int) -> None:
    model = tiny_model(window=window)
    session, history = Session(model, ["a", "b"]), []
    for t in range(steps):
        history.append(session.observe(tiny_observation(2, seed=t), tiny_chunk(2, seed=t) if t else None))
    expected = uncached_value(model, history, session.condition)
    torch.testing.assert_close(value_of(session), expected, atol=1e-4, rtol=0)


def test_the_cache_is_bounded(model: WorldModel) -> None:
    session = grounded(model, 20)
    assert [b.index for b in session.blocks] == [14, 15, 16, 17, 18, 19]  # twice the context of 3
    for _ in range(9):
        session.append(session.imagine(Schedule.joint(1)).values, imagined=True)
    assert [b.index for b in session.blocks if b.imagined] == [26, 27, 28]


def test_a_long_dream_loses_no_truth(model: WorldModel) -> None:
    dreaming, sober = grounded(model, 6), grounded(model, 6)
    for _ in range(9):
        dreaming.append(dreaming.imagine(Schedule.joint(1)).values, imagined=True)
    for session in (dreaming, sober):
        session.observe(tiny_observation(2, seed=7), tiny_chunk(2, seed=7))
    torch.testing.assert_close(value_of(dreaming), value_of(sober))


def test_the_future_changes_no_past_output(model: WorldModel) -> None:
    short, long = grounded(model, 3), grounded(model, 4)
    for a, b in zip(short.blocks[-2:], [b for b in long.blocks if b.index in (1, 2)], strict=True):
        torch.testing.assert_close(a.entry.kept["keys"], b.entry.kept["keys"])


def test_imagining_leaves_the_session_as_it_was(model: WorldModel) -> None:
    session = grounded(model, 3)
    before = [b.entry.kept["keys"].clone() for b in session.blocks]
    session.imagine(Schedule.joint(2))
    assert all(torch.equal(a, b.entry.kept["keys"]) for a, b in zip(before, session.blocks, strict=True))


def test_truth_drops_what_was_imagined_past_it(model: WorldModel) -> None:
    dreaming, sober = grounded(model, 2), grounded(model, 2)
    for _ in range(2):
        dreaming.append(dreaming.imagine(Schedule.joint(1)).values, imagined=True)
    assert dreaming.step == 3
    dreaming.observe(tiny_observation(2, seed=7), tiny_chunk(2, seed=7))
    sober.observe(tiny_observation(2, seed=7), tiny_chunk(2, seed=7))
    assert dreaming.step == sober.step == 2
    torch.testing.assert_close(value_of(dreaming), value_of(sober))


def test_a_fork_shares_the_past_and_goes_its_own_way(model: WorldModel) -> None:
    session = grounded(model, 2, batch=1)
    fork = session.fork(3)
    assert fork.blocks[0].entry.kept["keys"].data_ptr() == session.blocks[0].entry.kept["keys"].data_ptr()
    chunk = tiny_chunk(3)
    step(fork, chunk)
    assert fork.step == session.step + 1 == 2
    alone = grounded(model, 2, batch=1).fork(3)  # the first fork of an equal session draws the same noise
    step(alone, chunk)
    torch.testing.assert_close(value_of(alone), value_of(fork))


def test_fork_rows_follow_their_parent(model: WorldModel) -> None:
    session = grounded(model, 2, batch=2)
    fork = session.fork(2)
    assert torch.equal(value_of(fork), value_of(session).repeat_interleave(2))


def test_rewind_goes_back_exactly_or_says_that_it_cannot(model: WorldModel) -> None:
    session = grounded(model, 8)
    session.rewind(5)
    for t in (6, 7):
        session.observe(tiny_observation(2, seed=t), tiny_chunk(2, seed=t))
    torch.testing.assert_close(value_of(session), value_of(grounded(model, 8)))
    with pytest.raises(ValueError, match="evicted"):
        session.rewind(1)


def test_given_streams_stay_as_they_were_given(model: WorldModel) -> None:
    session = grounded(model, 2)
    action = model.encode_action(tiny_chunk(2))
    dream = session.imagine(Schedule.forward(2), {"action": action})
    assert torch.equal(dream.values["action"], action)


def test_skipping_imagination_produces_actions_alone(model: WorldModel) -> None:
    assert set(grounded(model, 2).imagine(Schedule.policy(2)).values) == {"action"}


def test_features_have_the_shape_the_heads_expect(model: WorldModel) -> None:
    tokens = 2 * model.config.codec.tokens
    assert video_features(grounded(model, 2), tap=1).shape == (2, tokens, model.config.width)


@pytest.mark.parametrize("level", [1.0, 0.6, 0.0])
def test_features_are_of_a_frame_that_is_as_noisy_as_the_network_is_told(model: WorldModel, level: float) -> None:
    noise = grounded(model, 2).imagine(Schedule((1.0,), (1.0,))).values
    clean = grounded(model, 2).imagine(Schedule.video(1)).values  # of the same noise; its action is still noise
    x = {name: Flow().corrupt(clean[name], torch.tensor(level), noise[name])[:, None] for name in noise}
    session = grounded(model, 2)
    levels = {s.name: torch.full((2, 1), 1.0 if s.acts else level) for s in model.streams if not s.asked}
    question = Window(x, levels, torch.full((2, 1), 2), quality=torch.ones(2, 1))
    with torch.inference_mode():
        hidden = model.backbone([question], session._memory(2), session.condition, Tap(1)).features[0]
    expected = torch.cat([hidden["video.front"], hidden["video.top"]], 2)[:, 0]
    torch.testing.assert_close(video_features(session, 1, level), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan")])
def test_there_are_no_features_beyond_the_levels(model: WorldModel, level: float) -> None:
    with pytest.raises(ValueError, match="levels are 0"):
        video_features(grounded(model, 2), 1, level)


def test_nothing_but_noise_is_called_noise_and_nothing_but_what_is_given_clean(model: WorldModel) -> None:
    session = grounded(model, 2)
    video = {name: x for name, x in session.imagine(Schedule.joint(1)).values.items() if name != ACTION}
    action = model.encode_action(tiny_chunk(2))
    halfway = Schedule((0.5, 0.0), (0.5, 0.0))
    for schedule, shown in (
        (Schedule.forward(1), None),
        (Schedule.inverse(1), {"video.front": video["video.front"]}),
        (Schedule.joint(1), {ACTION: action}),
        (Schedule.policy(1), video),
        (halfway, None),
    ):
        with pytest.raises(ValueError, match="values are given where a schedule starts at level 0"):
            session.imagine(schedule, shown)


def dreaming(model: WorldModel, words: str, past: int, dreamt: int) -> Session:
    session = Session(model, [words] * 2)
    for t in range(past):
        session.observe(tiny_observation(2, seed=t), tiny_chunk(2, seed=t) if t else None)
    for t in range(dreamt):
        step(session, tiny_chunk(2, seed=t))
    return session


@settings(max_examples=8)
@given(past=st.integers(1, 3), dreamt=st.integers(0, 3))
def test_other_words_are_heard_by_the_whole_past(model: WorldModel, past: int, dreamt: int) -> None:
    told, fresh = dreaming(model, "open the drawer", past, dreamt), Session(model, ["push the puck"] * 2)
    for block in told.blocks:  # all there were: none is out of reach yet
        fresh.append(block.values, block.imagined)
    assert not torch.allclose(told.last.entry.kept["keys"], fresh.last.entry.kept["keys"])
    told.instruct(["push the puck"] * 2)
    torch.testing.assert_close(value_of(told), value_of(fresh))
    left, right = told.imagine(Schedule.joint(2)).values, fresh.imagine(Schedule.joint(2)).values
    for name, value in right.items():
        torch.testing.assert_close(left[name], value, atol=1e-5, rtol=1e-4)


def test_other_words_change_neither_clocks_nor_what_is_carried_on(model: WorldModel) -> None:
    told = dreaming(model, "open the drawer", 9, 5)
    before = list(told.blocks)
    told.instruct(["push the puck"] * 2)
    assert [(b.index, b.imagined) for b in told.blocks] == [(b.index, b.imagined) for b in before]
    assert all(a.carried is b.carried for a, b in zip(told.blocks, before, strict=True))
    read = told.blocks
    told.instruct(["push the puck"] * 2)
    assert told.blocks is read  # the same words need no reading


@settings(max_examples=10)
@given(kept=st.sets(st.integers(0, 3), min_size=1), dreamt=st.integers(0, 2), n=st.integers(1, 2))
def test_a_row_goes_on_as_if_the_others_had_never_been(model: WorldModel, kept, dreamt, n) -> None:
    rows = sorted(kept)
    words = ["open", "push", "close", "reach"]

    def lived(some: list[int]) -> Session:
        session = Session(model, [words[i] for i in some], seed=[10 + i for i in some])
        for t in range(2):
            observation, chunk = tiny_observation(4, seed=t), tiny_chunk(4, seed=t)
            session.observe({k: x[some] for k, x in observation.items()}, chunk[some] if t else None)
        for _ in range(dreamt):
            session.append(session.imagine(Schedule.joint(1)).values, imagined=True)
        return session

    together, alone = lived([0, 1, 2, 3]), lived(rows)
    together.keep(rows)
    for a, b in (
        (together, alone),
        (together.fork(n), alone.fork(n)),
        (together.fork(n, seed=1), alone.fork(n, seed=1)),
    ):
        for _ in range(2):
            left, right = a.imagine(Schedule.joint(1)).values, b.imagine(Schedule.joint(1)).values
            for name, value in right.items():
                torch.testing.assert_close(left[name], value, atol=1e-4, rtol=0)


def test_no_future_repeats_anothers_noise(model: WorldModel) -> None:
    session = grounded(model, 2, batch=1)
    futures = [
        session.fork(2),
        session.fork(2),
        session.fork(1).fork(2),
        session.fork(2, seed=0),
        session.fork(2, seed=1),
    ]
    noise = torch.cat([s.imagine(Schedule((1.0,), (1.0,))).values["video.front"] for s in [session, *futures]]).flatten(
        1
    )
    assert len(noise.unique(dim=0)) == len(noise) == 11


def test_without_a_context_only_the_newest_frame_counts(model: WorldModel) -> None:
    remembering, fresh = Session(model, ["a", "b"], context=0), Session(model, ["a", "b"], context=0)
    for t in range(3):
        remembering.observe(tiny_observation(2, seed=t), tiny_chunk(2, seed=t) if t else None)
    fresh.observe(tiny_observation(2, seed=2))
    torch.testing.assert_close(value_of(remembering), value_of(fresh))
    # Both are asked for the same noise; that one is at step 2 and the other at step 0 must not matter. One step: where
    # the robot goes by state dynamics, and so the second step of a video, depends on how it moved before.
    a, b = remembering.imagine(Schedule.joint(1)).values, fresh.imagine(Schedule.joint(1)).values
    torch.testing.assert_close(a["action"], b["action"], atol=1e-5, rtol=1e-4)


# -- questions of several steps, and taps -----------------------------------------------------------------------------


def question_of(model: WorldModel, together: bool, seed: int = 0) -> Window:
    """Two steps of noise; the seed is of the second."""
    generator, other = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    shapes = {s.name: (1, 1, s.tokens, s.dim) for s in model.streams if s.imagined}
    values = {
        name: torch.cat([torch.randn(shape, generator=generator), torch.randn(shape, generator=other)], 1)
        for name, shape in shapes.items()
    }
    return Window(values, {name: torch.ones(1, 2) for name in shapes}, torch.tensor([[5, 6]]), together=together)


@pytest.mark.parametrize("together", [True, False])
def test_the_steps_of_a_clip_see_each_other_and_those_of_other_questions_do_not(
    model: WorldModel, together: bool
) -> None:
    with torch.no_grad():
        one, other = (
            model.backbone([question_of(model, together, seed)], Memory(), model.condition(["push"])).raw[0]
            for seed in (1, 2)
        )
    for name, x in one.items():
        assert torch.allclose(x[:, 0], other[name][:, 0], atol=1e-6) != together
        assert not torch.allclose(x[:, 1], other[name][:, 1])


def test_a_tap_is_after_its_layer_and_the_last_is_what_answers_are_read_from(model: WorldModel) -> None:
    question, condition = question_of(model, together=True), model.condition(["push"])
    with torch.no_grad():
        first, second, last = (
            model.backbone([question], Memory(), condition, Tap(n)).features[0] for n in (1, 2, None)
        )
        raw = model.backbone([question], Memory(), condition).raw[0]
        for name, x in raw.items():
            torch.testing.assert_close(model.network.read(name, last[name]), x)
            assert first[name].shape == last[name].shape and not torch.allclose(first[name], second[name])
        names = list(question.values)
        whole = torch.cat([second[name] for name in names], 2)
        expected = torch.cat([last[name] for name in names], 2)
        torch.testing.assert_close(model.network.norm(whole), expected)  # of two layers


# -- when a token is --------------------------------------------------------------------------------------------------


@dataclass
class Clock:
    """A network that does nothing and remembers when it was told its tokens are."""

    times: list[torch.Tensor] = field(default_factory=list)

    def embed(self, stream: str, x: torch.Tensor, level: torch.Tensor, *rest: Any) -> torch.Tensor:
        return x

    def __call__(self, x: torch.Tensor, times: torch.Tensor, *rest: Any) -> tuple[torch.Tensor, KV]:
        self.times.append(times)
        return x, KV(x[None, :, None], x[None, :, None])

    def read(self, stream: str, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


STEPS = torch.tensor([[4, 5], [4, 5]])
CHUNK, FRAME = Stream("chunk", 3, 2, acts=True, offsets=(-1.0, -0.6, -0.3)), Stream("frame", 2, 2)


def told_times(streams: list[Stream], steps: torch.Tensor) -> torch.Tensor:
    clock = Clock()
    values = {s.name: torch.ones(*steps.shape, s.tokens, s.dim) for s in streams}
    window = Window(values, {name: torch.ones(steps.shape) for name in values}, steps)
    Packed(clock, streams, 3)([window], Memory(), Condition(torch.zeros(len(steps), 1)))
    return clock.times[0]


def test_a_tokens_time_is_its_steps_unless_its_stream_says_when_it_is() -> None:
    """The actions of a chunk are executed one after the other, between two frames."""
    assert told_times([FRAME], STEPS).tolist() == [4, 4, 5, 5]
    found = told_times([CHUNK, FRAME], STEPS)
    torch.testing.assert_close(found, torch.tensor([3.0, 3.4, 3.7, 4, 4, 4.0, 4.4, 4.7, 5, 5]))


def test_rows_at_different_steps_have_times_of_their_own() -> None:
    later = told_times([CHUNK, FRAME], STEPS + torch.tensor([[0], [7]]))
    assert later.shape == (2, 1, 10)
    torch.testing.assert_close(later[1], later[0] + 7)


def test_the_transformer_hears_when_a_token_is() -> None:
    def imagined(*streams: Stream) -> torch.Tensor:
        torch.manual_seed(0)
        network = Transformer(TransformerConfig(width=16, layers=1, heads=2, streams=list(streams)))
        for output in network.outputs.values():
            torch.nn.init.normal_(output.weight)
        torch.manual_seed(1)
        values = {s.name: torch.randn(2, 2, s.tokens, s.dim) for s in streams}
        window = Window(values, {name: torch.ones(2, 2) for name in values}, STEPS)
        with torch.no_grad():
            return Packed(network, streams, 3)([window], Memory(), Condition(torch.zeros(2, 256))).raw[0]["frame"]

    plain, timed = imagined(replace(CHUNK, offsets=()), FRAME), imagined(CHUNK, FRAME)
    assert not torch.allclose(plain, timed)
    shifted = imagined(replace(CHUNK, offsets=(4.0, 4.4, 4.7)), replace(FRAME, offsets=(5.0, 5.0)))
    torch.testing.assert_close(shifted, timed, atol=1e-5, rtol=0)  # only differences of time matter
