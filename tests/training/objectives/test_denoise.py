"""What is trained is what a session computes, to the last digit; and nothing is learned from what was not recorded."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from presage.codecs.image import ImageCodecConfig
from presage.codecs.scalars import ScalarCodec
from presage.networks.base import RobotBase
from presage.networks.names import ACTION, LIMIT, SCENE, STATE, VALUE, VIDEO
from presage.networks.packed import Packed
from presage.networks.world_model import WorldModel
from presage.timeline import session as sessions
from presage.timeline.backbone import Output, Window
from presage.timeline.levels import GIVEN, UNKNOWN, Beta, Levels, Role, Schedule, Uniform, flat
from presage.timeline.sampler import predict
from presage.timeline.session import Session
from presage.timeline.streams import Values
from presage.training.batch import Batch, weighted
from presage.training.objectives.denoise import ALONE, Denoise
from presage.training.recipes import behaviour_cloning
from presage.training.reference import REFERENCE_WEIGHTS, reference_objective
from tests.tiny import tiny_model

ROWS, K, STATE_GIVEN = 5, Uniform(0.3), {STATE: flat(GIVEN, 1)}


def modes(k: Uniform) -> dict[str, tuple[Role, Schedule]]:
    """How every use is trained, and asked for."""
    return {
        "forward": (Role(k, GIVEN, {STATE: GIVEN}), replace(Schedule.forward(1), streams=STATE_GIVEN)),
        "inverse": (Role(GIVEN, k), Schedule.inverse(1)),
        "joint": (Role(k, k), Schedule.joint(1)),
        "independent": (Role(k, replace(k, name="other")), Schedule.joint(1)),
        "video": (Role(k, UNKNOWN), Schedule.video(1)),
    }


def plain(*roles: Role, **options: Any) -> Denoise:
    """Every step is asked for once, and alone; history is clean and shown as it is."""
    return Denoise(**{"levels": Levels(roles), "alone": Uniform(0.5), **options})


FORWARD, INVERSE, JOINT, VIDEO_ALONE = (plain(modes(K)[use][0]) for use in ("forward", "inverse", "joint", "video"))


@pytest.fixture
def model() -> WorldModel:
    return tiny_model()


def random_batch(model: WorldModel, b: int = 3, n: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(1)
    values = {s.name: torch.randn(b, n, s.tokens, s.dim, generator=generator) for s in model.streams}
    yes = torch.ones(b, n, dtype=torch.bool)
    return Batch(values, torch.randn(b, 256, generator=generator), yes, {ACTION: yes, VALUE: yes}, torch.ones(b, n))


# -- what is trained is what a session computes -----------------------------------------------------------------------


@dataclass
class Seen:
    """What the network was shown in a training step, what it made of that, and of what that was a change."""

    windows: list[Window] = field(default_factory=list)
    raw: list[Values] = field(default_factory=list)
    bases: list[Values] = field(default_factory=list)

    @property
    def history(self) -> Window:
        return self.windows[0]

    def clean(self, model: WorldModel, question: int, name: str) -> Tensor:
        """Predicted values (B, M, T, C) of a question, as a step down to level 0 leaves them."""
        stream, w = next(s for s in model.streams if s.name == name), self.windows[question]
        raw, base = self.raw[question][name], self.bases[question - 1].get(name)
        return predict(stream, raw, w.values[name], w.levels[name], base).clamp(-LIMIT, LIMIT)


@torch.no_grad()
def look(model: WorldModel, batch: Batch, objective: Denoise, seed: int = 0) -> Seen:
    seen, forward, expect = Seen(), Packed.forward, RobotBase.__call__

    def watched(self: Packed, windows: Any, *rest: Any) -> Output:
        out = forward(self, windows, *rest)
        seen.windows, seen.raw = list(windows), out.raw
        return out

    def expecting(self: RobotBase, *rest: Any) -> Values:
        seen.bases.append(expect(self, *rest))
        return seen.bases[-1]

    with mock.patch.object(Packed, "forward", watched), mock.patch.object(RobotBase, "__call__", expecting):
        objective(model, batch, torch.Generator().manual_seed(seed))
    return seen


def session_until(
    model: WorldModel, batch: Batch, step: int, objective: Denoise, history: Window, quality: float = 1.0
) -> Session:
    """A session that has seen the steps of a batch's only window up to `step`, as the objective shows them."""
    session = Session(model, batch.text, quality, context=0 if objective.memoryless else None)
    for i in range(step + 1):
        values = {name: x[:, i] for name, x in history.values.items() if name != ACTION}
        if i and not objective.drop_actions:
            values[ACTION] = batch.values[ACTION][:, i - 1]
        session.append(values, level=history.levels[f"{VIDEO}.front"][0, i].item())
    return session


@contextmanager
def starting_from(x: Values, levels: Mapping[str, float]) -> Iterator[None]:
    """What sessions imagine starts with values x (B, M, T, C) at levels in between, in the place of noise."""

    def started(backbone: Any, memory: Any, condition: Any, schedule: Schedule, start: Values, *rest: Any) -> Values:
        walks = {name: (levels[name], walk[1]) for name, walk in schedule.walks(backbone.streams).items()}
        return walk(backbone, memory, condition, replace(schedule, streams=walks), {**start, **x}, *rest)

    walk = sessions.walk
    with mock.patch.object(sessions, "walk", started):
        yield


def assert_same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def compare(
    model: WorldModel, batch: Batch, objective: Denoise, schedule: Schedule, seed: int = 0, quality: float = 1.0
) -> int:
    """Ask a session for every question of an objective; returns how many predictions were compared."""
    seen = look(model, batch, objective, seed)
    asked, compared = seen.windows[2], 0
    for m, step in enumerate(asked.steps[0].tolist()):
        session = session_until(model, batch, step - 1, objective, seen.history, quality)
        x = {name: v[:, [m]] for name, v in asked.values.items()}
        levels = {name: level[0, m].item() for name, level in asked.levels.items()}
        given = {name: v[:, 0] for name, v in x.items() if levels[name] == 0}
        with starting_from(x, levels):
            dream = session.imagine(schedule, given).values
        for name, walk in schedule.walks(model.streams).items():
            if name in x and walk[-1] == 0 and name not in given:
                assert_same(dream[name], seen.clean(model, 2, name)[:, m])
                compared += 1
    return compared


def without_parts(**options: Any) -> WorldModel:
    """State dynamics feel actions, whether they are shown to the network or not, and know the state, however noisy."""
    model = tiny_model(**options)
    config = replace(model.config, state_dynamics=0, renderer=0)
    bare = WorldModel(config, model.action_codec, model.state_codec)
    bare.network.load_state_dict(model.network.state_dict())
    return bare.eval()


@pytest.mark.parametrize("mode", modes(K))
@pytest.mark.parametrize("full_noise", [0.0, 1.0])
def test_every_mode_at_every_step(model: WorldModel, mode: str, full_noise: float) -> None:
    role, schedule = modes(Uniform(full_noise))[mode]
    expected = {"forward": 2, "inverse": 1, "video": 3}.get(mode, 4) * (ROWS - 1)
    assert compare(model, random_batch(model, 1, ROWS), plain(role), schedule) == expected


@pytest.mark.parametrize("window", [1, 2])
def test_longer_pasts_than_the_context(window: int) -> None:
    model = tiny_model(window=window)
    assert compare(model, random_batch(model, 1, ROWS), JOINT, Schedule.joint(1), seed=1)


@pytest.mark.parametrize("mode", modes(K))
def test_without_a_memory(model: WorldModel, mode: str) -> None:
    role, schedule = modes(K)[mode]
    assert compare(model, random_batch(model, 1, ROWS), plain(role, memoryless=1.0), schedule)


def test_past_actions_that_are_hidden() -> None:
    model = without_parts()
    assert compare(model, random_batch(model, 1, ROWS), replace(JOINT, drop_actions=1.0), Schedule.joint(1))


def test_quality_untold(model: WorldModel) -> None:
    objective = replace(JOINT, drop_quality=1.0)
    assert compare(model, random_batch(model, 1, ROWS), objective, Schedule.joint(1), quality=float("nan"))


def test_poor_quality_told(model: WorldModel) -> None:
    batch = random_batch(model, 1, ROWS)
    poor = replace(batch, quality=torch.zeros(1, ROWS))
    assert compare(model, poor, JOINT, Schedule.joint(1), quality=0.0)
    with pytest.raises(AssertionError):
        compare(model, poor, JOINT, Schedule.joint(1), quality=1.0)


def test_noisy_history() -> None:
    model, objective = without_parts(), replace(JOINT, history_noise=0.8)
    assert look(model, random_batch(model, 1, ROWS), objective).history.levels[f"{VIDEO}.front"].any()
    assert compare(model, random_batch(model, 1, ROWS), objective, Schedule.joint(1))


def test_dreamed_frames_in_the_place_of_real_ones(model: WorldModel) -> None:
    batch = random_batch(model, 1, ROWS)
    dreamed = {name: x + 0.5 for name, x in batch.values.items() if name.startswith(VIDEO)}
    batch = replace(batch, dreamed=dreamed, dream_known=batch.exists)
    role, schedule = modes(K)["forward"]
    assert compare(model, batch, plain(role, dreamed=1.0), schedule)


def test_some_questions_of_all(model: WorldModel) -> None:
    objective = replace(JOINT, questions=2)
    assert compare(model, random_batch(model, 1, ROWS), objective, Schedule.joint(1)) == 4 * 2


@pytest.mark.parametrize("memoryless", [0.0, 1.0])
def test_the_policy_after_every_frame(model: WorldModel, memoryless: float) -> None:
    batch, objective = random_batch(model, 1, ROWS), replace(JOINT, memoryless=memoryless)
    seen = look(model, batch, objective)
    alone = seen.windows[1]
    assert alone.steps.tolist() == [list(range(1, ROWS + 1))]
    for i in range(ROWS):
        session = session_until(model, batch, i, objective, seen.history)
        with starting_from({ACTION: alone.values[ACTION][:, [i]]}, {ACTION: alone.levels[ACTION][0, i].item()}):
            chunk = session.imagine(Schedule.policy(1)).values[ACTION]
        assert_same(chunk, seen.clean(model, 1, ACTION)[:, i])


@pytest.mark.parametrize("memoryless", [0.0, 1.0])
def test_value_of_every_frame(model: WorldModel, memoryless: float) -> None:
    batch, objective = random_batch(model, 1, ROWS), replace(JOINT, memoryless=memoryless)
    seen = look(model, batch, objective)
    for i in range(ROWS):
        answer = session_until(model, batch, i, objective, seen.history).last.answers[VALUE]
        assert_same(answer, seen.raw[0][VALUE][:, i])


def test_a_clip(model: WorldModel) -> None:
    """The first row is all that is seen of it, and the rest is one question that sees itself."""
    batch, objective = random_batch(model, 1, ROWS), Denoise(Levels((Role(K, K),), per_step=False), clip=True)
    seen = look(model, batch, objective)
    asked = seen.windows[1]
    session = session_until(model, batch, 0, objective, seen.history)
    with starting_from(asked.values, {name: level[0, 0].item() for name, level in asked.levels.items()}):
        clip = session.imagine(Schedule.joint(1), length=ROWS - 1).values
    for name in asked.values:
        assert_same(clip[name], seen.clean(model, 1, name))


def test_a_past_that_differs_would_be_noticed(model: WorldModel) -> None:
    batch = random_batch(model, 1, ROWS)
    rolled = replace(batch, values={**batch.values, ACTION: batch.values[ACTION].roll(1, 1)})
    until = session_until

    def late(model: WorldModel, batch: Batch, *rest: Any) -> Session:
        return until(model, rolled, *rest)

    with mock.patch.dict(globals(), {"session_until": late}), pytest.raises(AssertionError):
        compare(model, batch, JOINT, Schedule.joint(1))


# -- what is shown, and at which levels -------------------------------------------------------------------------------


def test_history_is_one_window_and_every_step_but_the_first_is_asked_for(model: WorldModel) -> None:
    batch = random_batch(model)
    history, alone, asked = look(model, batch, JOINT).windows
    assert history.remember and not alone.remember and not asked.remember
    assert history.steps[0].tolist() == [0, 1, 2, 3] and asked.steps[0].tolist() == [1, 2, 3]
    assert torch.equal(history.values[ACTION][:, 1:], batch.values[ACTION][:, :-1])  # a chunk leads to the next row
    assert not history.present[ACTION][:, 0].any() and history.present[ACTION][:, 1:].all()
    assert torch.equal(history.values[f"{VIDEO}.top"], batch.values[f"{VIDEO}.top"])
    assert VALUE not in asked.levels and SCENE in asked.levels and SCENE not in asked.values


def test_steps_that_were_not_an_experts_have_levels_of_their_own(model: WorldModel) -> None:
    quality = torch.tensor([[1.0, 0.0, float("nan"), 1.0]]).expand(3, -1)  # of what leads to rows 1, 2, 3
    objective = replace(JOINT, poor=Levels((Role(K, GIVEN),)))
    _, alone, asked = look(model, replace(random_batch(model), quality=quality), objective).windows
    torch.testing.assert_close(asked.quality, quality[:, :3], equal_nan=True)  # told of what leads to the step
    torch.testing.assert_close(alone.quality, quality, equal_nan=True)
    assert torch.equal(asked.levels[ACTION] == 0, quality[:, :3] == 0)


def test_where_nobody_recorded_what_was_done_it_is_unknown(model: WorldModel) -> None:
    recorded = torch.tensor([[True, False, True, True]]).expand(3, -1)
    batch = random_batch(model)
    batch = replace(batch, present={**batch.present, ACTION: recorded})
    objective = replace(FORWARD, unlabelled=Levels((Role(Beta(9, 1), 0.5),)))
    asked = look(model, batch, objective).windows[2]
    assert (asked.levels[ACTION][:, 1] == 1).all() and (asked.levels[STATE][:, 1] > 0).all()
    assert (asked.levels[ACTION][:, [0, 2]] == 0).all() and (asked.levels[STATE][:, [0, 2]] == 0).all()


def test_half_of_the_windows_may_keep_some_streams_clean(model: WorldModel) -> None:
    objective = replace(JOINT, history_noise=0.4, spared=STATE)
    levels = look(model, random_batch(model, b=64), objective).history.levels
    noisy = levels[f"{VIDEO}.front"] > 0
    assert noisy.float().mean().item() == pytest.approx(0.5, abs=0.1) and levels[f"{VIDEO}.front"].max() <= 0.4
    spared = (levels[STATE] == 0).all(1)
    assert torch.equal(levels[STATE][~spared], levels[f"{VIDEO}.front"][~spared])
    assert 16 < (spared & noisy.any(1)).sum() < 48


# -- what costs -------------------------------------------------------------------------------------------------------


def costs(model: WorldModel, batch: Batch, objective: Denoise) -> dict[str, float]:
    terms = objective(model, batch, torch.Generator().manual_seed(0))
    return {name: term.mean.item() for name, term in terms.items()}


def test_given_streams_cost_nothing(model: WorldModel) -> None:
    batch = random_batch(model)
    inverse, forward = costs(model, batch, INVERSE), costs(model, batch, FORWARD)
    assert f"{VIDEO}.front" not in inverse and inverse[ACTION] > 0
    assert ACTION not in forward and forward[f"{VIDEO}.front"] > 0
    both = plain(modes(K)["forward"][0], modes(K)["inverse"][0])
    levels = look(model, batch, both).windows[2].levels[ACTION]
    term = both(model, batch, torch.Generator().manual_seed(0))[ACTION]
    assert torch.equal(term.weight > 0, levels > 0) and 0 < (levels > 0).float().mean() < 1


def test_a_state_costs_nothing_where_the_action_that_leads_to_it_is_given(model: WorldModel) -> None:
    batch = random_batch(model)
    assert STATE not in costs(model, batch, FORWARD) and costs(model, batch, VIDEO_ALONE)[STATE] > 0


def test_an_action_that_was_not_recorded_is_masked_whatever_its_value(model: WorldModel) -> None:
    batch = random_batch(model)
    nothing = replace(batch, present={**batch.present, ACTION: torch.zeros_like(batch.exists)})
    other = replace(nothing, values={**batch.values, ACTION: torch.full_like(batch.values[ACTION], 7.0)})
    a, b = costs(model, nothing, reference_objective()), costs(model, other, reference_objective())
    assert a[ACTION + ALONE] == a[ACTION] == 0
    assert a == pytest.approx(b)


def test_rows_past_the_end_do_not_count(model: WorldModel) -> None:
    batch = random_batch(model)
    exists = batch.exists.clone()
    exists[:, -1] = False
    acted = exists & exists.roll(-1, 1)  # what is done after the last row leads nowhere
    padded = replace(batch, exists=exists, present={ACTION: acted, VALUE: exists})
    values = {name: x.clone() for name, x in batch.values.items()}
    for name in (VALUE, f"{VIDEO}.front"):
        values[name][:, -1] = 100.0
    changed = replace(padded, values=values)
    assert costs(model, changed, JOINT) == pytest.approx(costs(model, padded, JOINT))
    assert costs(model, replace(batch, values=values), JOINT)[VALUE] > 100


def test_behaviour_cloning_ignores_chunks_that_are_not_the_experts(model: WorldModel) -> None:
    objective = Denoise(alone=Uniform(0.5), poor_weight=0.0)
    loss = costs(model, replace(random_batch(model), quality=torch.zeros(3, 4)), objective)
    assert loss == {ACTION + ALONE: 0, VALUE: loss[VALUE]}


def test_the_model_of_behaviour_cloning_carries_nothing() -> None:
    config = replace(behaviour_cloning().model, codec=ImageCodecConfig(size=32, width=8, blocks=1, latent_channels=4))
    model = WorldModel(config, ScalarCodec([0.0] * 16, [1.0] * 16), ScalarCodec([0.0] * 4, [1.0] * 4))
    assert model.state_dynamics is None and model.renderer is None
    assert costs(model, random_batch(model), behaviour_cloning().training.objective)[ACTION + ALONE] > 0


def test_one_batch_can_be_overfitted() -> None:
    model, objective = tiny_model(layers=2), plain(modes(K)["forward"][0], modes(K)["inverse"][0])
    batch = random_batch(model, b=2)
    optimizer = torch.optim.Adam(model.network.parameters(), lr=3e-3)
    history = []
    for step in range(300):
        loss = weighted(objective(model, batch, torch.Generator().manual_seed(step)), REFERENCE_WEIGHTS)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append(loss.item())
    assert sum(history[-10:]) < 0.6 * sum(history[:10])


def test_a_dream_is_shown_in_the_place_of_the_frame_where_there_is_one_and_the_truth_stays_the_goal(
    model: WorldModel,
) -> None:
    batch, front = random_batch(model), f"{VIDEO}.front"
    perfect = {name: batch.values[name] for name in (front, f"{VIDEO}.top")}
    wrong = {name: x + 5 for name, x in perfect.items()}
    known, always = batch.exists, replace(FORWARD, dreamed=1.0)
    awake = costs(model, replace(batch, dreamed=wrong, dream_known=~known), always)
    asleep = costs(model, replace(batch, dreamed=wrong, dream_known=known), always)
    assert costs(model, replace(batch, dreamed=perfect, dream_known=known), always) == pytest.approx(awake)
    assert asleep[front] > awake[front] and asleep[VALUE] != awake[VALUE]


def test_numbers_that_a_robot_has_not_cost_nothing_whatever_their_value(model: WorldModel) -> None:
    batch = random_batch(model)
    masked = replace(batch, has={ACTION: (torch.arange(16) < 10).expand(3, 1, 1, -1)})
    assert costs(model, masked, INVERSE)[ACTION] != costs(model, batch, INVERSE)[ACTION]
