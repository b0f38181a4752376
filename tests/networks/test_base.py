"""The base prediction of a robot's model: where actions lead, what it looks like there, and that the network's answers
are changes of it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.recorded import moving_square
from tests.tiny import grounded, tiny_chunk, tiny_model, tiny_observation

from presage.networks.base import next_values, step
from presage.networks.names import ACTION, LIMIT, SCENE, STATE
from presage.networks.world_model import WorldModel
from presage.systems.reference import reference
from presage.systems.system import DEBUG
from presage.timeline.backbone import Window
from presage.timeline.levels import GIVEN, Schedule, flat
from presage.timeline.session import Session
from presage.training.recorded import shape_of


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return tiny_model()


def remembered(session: Session) -> torch.Tensor:
    """(B, M) what state dynamics remember at the newest step: it is carried on behind the state."""
    assert session.last.carried is not None
    return session.last.carried[:, session.model.config.state_dim :]


def simplest(session: Session) -> dict[str, torch.Tensor]:
    """The base prediction (B, 1, T, C) of a next step of which nothing is given."""
    ones = torch.ones(session.batch, 1)
    question = Window({}, {s.name: ones for s in session.model.streams if s.imagined}, ones * (session.step + 1))
    newest = {name: x[:, None] for name, x in session.last.values.items()}
    with torch.inference_mode():
        return session.model.base(newest, session.last.carried[:, None], question, session.condition)


def test_a_dream_takes_as_many_steps_as_its_model_says(model: WorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every command: none where the base prediction redraws the robot, and one of a system."""
    asked: list[int] = []
    imagine = Session.imagine
    monkeypatch.setattr(Session, "imagine", lambda s, how, *a, **k: asked.append(how.steps) or imagine(s, how, *a, **k))
    shape = shape_of(moving_square(1))
    system = reference(shape, DEBUG).build(shape).eval()
    first = {name: x[:2] for name, x in moving_square(1).frames.items()} | {"state": np.zeros((2, 2), np.float32)}
    alone = Session(system, ["move"] * 2)
    alone.observe(first)
    chunk = np.zeros((2, 2, 2), np.float32)
    for how in (None, 3):
        step(alone, chunk, how)
    assert (model.denoising, system.denoising, asked) == (0, 1, [1, 3])
    world = grounded(model, 2)
    monkeypatch.setattr(world.model.network, "forward", lambda *_: pytest.fail("the network is not asked"))
    monkeypatch.setattr(Session, "_read", lambda *_: world.last)
    step(world, tiny_chunk(world.batch))


def test_where_the_action_is_given_the_state_is_the_one_that_it_leads_to(model: WorldModel) -> None:
    session = grounded(model, 3)
    action = model.encode_action(tiny_chunk(2, seed=9))
    led_to = model.state_dynamics(session.last.values[STATE][:, 0], action[:, 0], remembered(session))[:, None]
    rolled = step(session.fork(1), tiny_chunk(2, seed=9), steps=2).values
    torch.testing.assert_close(rolled[STATE], led_to)
    told = replace(Schedule.forward(2), streams={STATE: flat(GIVEN, 2)})
    said = session.imagine(told, {ACTION: action, STATE: led_to + 1}).values
    torch.testing.assert_close(said[STATE], led_to + 1)
    assert not torch.allclose(said["video.front"], rolled["video.front"])


def test_state_dynamics_remember_all_that_happened_and_a_rewound_session_what_happened_until_then(
    model: WorldModel,
) -> None:
    session = Session(model, ["push"])
    memories = []
    for t in range(5):
        session.observe(tiny_observation(1, seed=t), tiny_chunk(1, seed=t) if t else None)
        memories.append(remembered(session))
    assert not memories[0].any() and all(not torch.equal(a, b) for a, b in itertools.pairwise(memories))
    session.rewind(3)
    session.observe(tiny_observation(1, seed=4), tiny_chunk(1, seed=4))
    torch.testing.assert_close(remembered(session), memories[4])
    first = Session(model, ["push"])
    first.observe(tiny_observation(1, seed=4))
    assert not torch.equal(remembered(first), memories[4])


def test_without_a_state_there_is_none_to_lead_to(model: WorldModel) -> None:
    """Then a state is imagined as all else is."""
    action, blind = torch.zeros(1, 1, 16), Session(model, ["push"])
    assert STATE in blind.imagine(Schedule.forward(1), {ACTION: action}).values
    session = grounded(model, 1, 1)
    session.append({name: x for name, x in session.last.values.items() if name != STATE})
    assert session.last.carried is None
    assert model.base.complete(session.last.values, session.last.carried, {ACTION: action}) == {ACTION: action}
    first, second = (session.imagine(Schedule.forward(1), {ACTION: action}).values[STATE] for _ in range(2))
    assert not torch.equal(first, second)  # of other noise: nothing says where the action leads


def test_without_denoising_the_robot_is_carried_and_with_it_the_network_corrects(model: WorldModel) -> None:
    session, chunk = grounded(model, 2), tiny_chunk(2, seed=1)
    action = model.encode_action(chunk)
    state = model.base.reach(session.last.carried, action)
    shown = {name: x[:, None] for name, x in session.last.values.items()}
    carried = model.carry(shown, state[:, None], session.condition.text)
    rolled = step(session.fork(1), chunk).values
    corrected = step(session.fork(1), chunk, steps=1).values
    assert rolled.keys() == corrected.keys() == {*carried, ACTION, STATE}
    assert torch.equal(rolled[ACTION], action) and torch.equal(rolled[STATE], state)
    for name in ("video.front", "video.top"):
        assert torch.equal(rolled[name], carried[name][:, 0].clamp(-LIMIT, LIMIT))
        assert not torch.allclose(corrected[name], rolled[name])


def test_a_state_that_is_told_is_where_the_robot_is_carried(model: WorldModel) -> None:
    session, action = grounded(model, 2), model.encode_action(tiny_chunk(2, seed=1))
    there = model.base.reach(session.last.carried, action) + 0.5
    told = next_values(session, action, there)
    assert torch.equal(told[STATE], there)
    assert not torch.allclose(told["video.front"], next_values(session, action)["video.front"])


def test_a_model_that_carries_nothing_denoises() -> None:
    model = tiny_model()
    model.renderer = None
    session, chunk = grounded(model, 2), tiny_chunk(2, seed=1)
    assert not model.base.redraws
    rolled, corrected = step(session.fork(1, seed=3), chunk).values, step(session.fork(1, seed=3), chunk, 1).values
    assert torch.equal(rolled["video.front"], corrected["video.front"])


def test_the_dream_follows_the_action(model: WorldModel) -> None:
    session = grounded(model, 2)
    a = step(session.fork(1, seed=1), tiny_chunk(2, seed=1)).values["video.front"]
    same = step(session.fork(1, seed=1), tiny_chunk(2, seed=1)).values["video.front"]
    other = step(session.fork(1, seed=1), tiny_chunk(2, seed=2)).values["video.front"]
    assert torch.equal(a, same) and not torch.allclose(a, other)


def test_a_network_that_says_nothing_imagines_what_is_expected() -> None:
    silent = tiny_model()
    for name, output in silent.network.outputs.items():
        if name.startswith(("video", "state")):
            torch.nn.init.zeros_(output.weight), torch.nn.init.zeros_(output.bias)
    session = grounded(silent, 2)
    dream, expected = session.imagine(Schedule.joint(2)).values, simplest(session)
    for name in ("video.front", "video.top", STATE):
        torch.testing.assert_close(dream[name], expected[name][:, 0].clamp(-LIMIT, LIMIT))
    assert SCENE not in dream  # derived from the video, not a thing to imagine


def test_inverse_dynamics_does_not_hear_what_the_reader_would_do() -> None:
    model = tiny_model()
    session = grounded(model, 2)
    video = {name: x for name, x in session.imagine(Schedule.joint(1)).values.items() if name != ACTION}
    before = [
        session.imagine(plan, given).values[ACTION]
        for plan, given in ((Schedule.inverse(1), video), (Schedule.joint(1), None))
    ]
    model.network.inputs[SCENE].action.bias.data += 1.0
    session = grounded(model, 2)
    session.imagine(Schedule.joint(1))  # the same noise again
    after = [
        session.imagine(plan, given).values[ACTION]
        for plan, given in ((Schedule.inverse(1), video), (Schedule.joint(1), None))
    ]
    torch.testing.assert_close(after[0], before[0])
    torch.testing.assert_close(after[1], before[1] + 1.0)


def test_where_the_video_is_given_the_base_policy_is_silent(model: WorldModel) -> None:
    """Step by step of a question, and with the image at any level above 0 the whole of it is heard."""
    session = grounded(model, 2)
    newest = {name: x[:, None].expand(-1, 3, -1, -1) for name, x in session.last.values.items()}
    level = torch.tensor([[0.0, 0.5, 1.0], [1.0, 0.0, 0.0]])
    question = Window({}, {s.name: level for s in model.streams if s.imagined and s.name != STATE}, torch.ones(2, 3))
    with torch.inference_mode():
        chunk = model.base_policy(newest, session.condition.text)
        expected = model.base(newest, session.last.carried[:, None].expand(-1, 3, -1), question, session.condition)
    heard = expected[ACTION].abs().sum((2, 3)) > 0
    assert torch.equal(heard, level > 0)
    assert torch.equal(expected[ACTION][heard], chunk[heard])


def test_a_dream_that_goes_wrong_does_not_grow_without_bound() -> None:
    model = tiny_model()
    model.network.outputs["video_front"].bias.data += 5.0
    session = grounded(model, 1)
    for _ in range(4):
        session.append(session.imagine(Schedule.joint(1)).values, imagined=True)
    assert all(x.abs().max() <= LIMIT for x in session.last.values.values())
    assert session.last.values["video.front"].max() > 5.0
