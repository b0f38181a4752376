"""The five ways in which a check is most easily met by accident, and that none of them is open.

Labels that follow from a state; a random control that is blind; a scorer that looks beside imagined frames; a world
that waits for its robot; a judge that reads the hand. Each guard is shown what it must catch, too.
"""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from tests.recorded import CHUNK, batch_of, moving_square
from tests.tiny import tiny_model

from presage.benchmarks import wall_clock
from presage.benchmarks.wall_clock import Scene, run_live
from presage.networks.composed import STATE, Composed
from presage.policy.dreamt import dreams, replays
from presage.systems import dreamgen, gpc, irasim, mimic_video, onex_evaluation, unipi, vpp
from presage.systems.lab import alignment, early, pushing, readings, searches
from presage.systems.lab.alignment import BACK, OUTSIDE
from presage.systems.lab.artifacts import Artifact, Source
from presage.systems.lab.check import Arm
from presage.systems.lab.labels import ArtifactCard
from presage.systems.lab.outcome import JUDGE, OUTCOME
from presage.systems.lab.pool import Still
from presage.systems.lab.probes import Pairs
from presage.systems.lab.verdict import Sanity, judge
from presage.systems.system import DEBUG, System
from presage.timeline.session import Session
from presage.training.batch import Batch
from presage.training.objectives.invert import Invert
from presage.training.recorded import Recorded, shape_of
from presage.training.stage import Make

RECORDED = moving_square(episodes=8)
SHAPE = shape_of(RECORDED)


def woken(model: Composed, std: float = 0.1) -> Composed:
    """With weights that answer: a fresh network says 0."""
    torch.manual_seed(0)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=std)
    return model.eval()


# -- 1. labels --------------------------------------------------------------------------------------------------------


def labels_of(make: Make, model: Composed, recorded: Recorded) -> np.ndarray:
    made = make(model, {"labelled": recorded})
    return made.action[made.labelled]


def leaking(make: Make) -> Make:
    """A label maker that inverts kinematics: no picture needed."""

    def leaks(model: Composed, data: Mapping[str, Recorded]) -> Recorded:
        made = make(model, data)
        moved = np.diff(data["labelled"].state, axis=0, append=0.0)[: len(made.action), None]
        return replace(made, action=np.broadcast_to(moved, made.action.shape).astype(np.float32))

    return leaks


def of_states_alone(make: Make, model: Composed) -> bool:
    """Whether labels change when states do, all pictures the same."""
    elsewhere = replace(RECORDED, state=np.random.default_rng(1).normal(size=RECORDED.state.shape).astype(np.float32))
    return not np.array_equal(labels_of(make, model, RECORDED), labels_of(make, model, elsewhere))


@pytest.mark.parametrize("make", [dreams, replays])
def test_labels_follow_from_pictures_and_never_from_a_state(make: Callable[..., Make]) -> None:
    model = woken(dreamgen.dreamgen(SHAPE, DEBUG).build(SHAPE))
    labelled = make(dreamgen.plan_of(["image.front"]), 4)
    assert not of_states_alone(labelled, model) and of_states_alone(leaking(labelled), model)
    turned = replace(RECORDED, frames={name: x[:, ::-1] for name, x in RECORDED.frames.items()})
    assert not np.array_equal(labels_of(labelled, model, RECORDED), labels_of(labelled, model, turned))


@pytest.mark.parametrize("recipe", [dreamgen.dreamgen, unipi.unipi])
def test_an_inverse_model_is_trained_without_states(recipe: Callable[..., System]) -> None:
    system = recipe(SHAPE, DEBUG)
    (stage,) = [stage for stage in system.stages if isinstance(stage.objective, Invert)]
    model = woken(system.build(SHAPE))
    assert all(stream.source != STATE for stream in model.streams)

    def error(recorded: Recorded) -> float:
        index = np.arange(2 * stage.window).reshape(2, -1)
        batch: Batch = batch_of(model, [recorded], (np.zeros(2, int), index, np.zeros(index.shape, bool)))
        (term,) = stage.objective(model, batch, torch.Generator().manual_seed(0)).values()
        return float(term.error.detach().mean())

    whole = moving_square(episodes=8, rows=stage.window)
    assert error(whole) == error(replace(whole, state=whole.state[::-1]))
    assert error(whole) != error(replace(whole, frames={name: x[::-1] for name, x in whole.frames.items()}))


# -- 2. a random network that sees the frame --------------------------------------------------------------------------


def blind(model: Composed, seed: int = 0) -> Composed:
    for p in model.network.parameters():
        torch.nn.init.zeros_(p)
    return model


def vpp_lines(model: Composed, pairs: Pairs) -> Mapping[str, float]:
    return vpp.sees(model, pairs)


def mimic_lines(model: Composed, pairs: Pairs) -> Mapping[str, float]:
    return dict(zip(early.SEES, readings.beside_random(model, pairs, mimic_video.imagined(DEBUG)), strict=True))


@pytest.mark.parametrize(
    ("recipe", "lines", "limits"),
    [(vpp.vpp, vpp_lines, vpp.PROBE.limits), (mimic_video.mimic_video, mimic_lines, early.SEES)],
    ids=["vpp", "mimic_video"],
)
def test_a_random_control_sees_the_frame_and_a_blind_one_ends_the_verdict(
    recipe: Callable[..., System],
    lines: Callable[..., Mapping[str, float]],
    limits: Mapping[str, float],
    monkeypatch: Any,
) -> None:
    model, pairs = readings.redrawn(recipe(SHAPE, DEBUG).build(SHAPE), seed=1).eval(), Pairs.of(RECORDED, 24)
    name = next(name for name in limits if name.startswith("frame of the trained"))
    before = {key: x.clone() for key, x in model.state_dict().items()}
    assert limits[name] <= 3 and lines(model, pairs)[name] < limits[name]
    assert all(torch.equal(x, before[key]) for key, x in model.state_dict().items())  # it is looked at, not changed
    monkeypatch.setattr(readings, "redrawn", blind)
    found = lines(model, pairs)[name]
    assert found > limits[name]
    success = np.ones((3, 20))
    broken = [Sanity(name, found, found < limits[name])]
    assert judge({"a": success, "random": success * 0}, "a", {"random": 0.1}, broken).words.startswith(
        "not shown (a part"
    )


def test_a_figure_that_is_not_known_admits_no_line() -> None:
    arm = Arm("a", ((1.0,),), 1.0, 1, 1, 1, {"frame of the trained / of the random": None, "known": 0.5})
    assert math.isnan(arm.figure("frame of the trained / of the random")) and arm.figure("known") == 0.5
    with pytest.raises(KeyError):
        arm.figure("never asked")


# -- 3. scorers -------------------------------------------------------------------------------------------------------


class Poisoned:
    """A world that nobody may look into."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"an arm looks into the simulator: {name}")


def searching(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch) -> searches.Check:
    """What a recipe's check is made of."""
    asked: list[searches.Check] = []
    monkeypatch.setattr(recipe, "compare_searches", lambda row, check, *rest: asked.append(check))
    recipe.check((), (0,), True, Path("nowhere"))
    return asked[0]


PUSHED = moving_square(episodes=4, cameras=(f"image.{pushing.CAMERA}",))


def seen_by(policy: Any) -> np.ndarray:
    policy.reset(["move"])
    chunk: np.ndarray = policy.act({name: x[:1] for name, x in PUSHED.frames.items()} | {"state": PUSHED.state[:1]})
    return chunk


@pytest.mark.parametrize("recipe", [gpc, irasim], ids=["gpc", "irasim"])
def test_no_arm_looks_into_the_simulator_but_the_oracle(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    check = searching(recipe, monkeypatch)
    model = woken(check.system(shape_of(PUSHED)).build(shape_of(PUSHED)), 0.05)
    oracles = [name for name in check.arms if "oracle" in name]
    assert oracles == ["oracle rank 10"] * (recipe is gpc)
    for name, arm in check.arms.items():
        if name in oracles:
            with pytest.raises(AssertionError, match="looks into the simulator: snapshot"):
                seen_by(arm.use(model, 0, Poisoned()))  # type: ignore[arg-type]
        else:
            assert seen_by(arm.use(model, 0, Poisoned())).shape == (1, CHUNK, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", [gpc, irasim], ids=["gpc", "irasim"])
def test_a_score_sees_imagined_frames_alone(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates that lead to the same frames are as good as each other, whatever they are; others are not."""
    check = searching(recipe, monkeypatch)
    shape = shape_of(PUSHED)
    model = woken(check.system(shape).build(shape))
    session = Session(model, ["move"])
    session.observe({name: x[:1] for name, x in PUSHED.frames.items()} | {"state": PUSHED.state[:1]})
    candidates = torch.randn(1, 5, check.ahead, CHUNK * 2, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    imagine = Session.imagine

    def whatever_is_done(self: Session, schedule: Any, given: Any = None, **settings: Any) -> Any:
        return imagine(self, schedule, {name: x * 0 for name, x in given.items()}, **settings)

    def critic(session: Session, candidates: torch.Tensor) -> torch.Tensor:
        return check.score(session, candidates) + candidates.mean((2, 3))

    for score, alone in ((check.score, True), (critic, False)):
        free = float(score(session, candidates).detach().std())
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Session, "imagine", whatever_is_done)
            bound = float(score(session, candidates).detach().std())
        assert free > 0 and (bound < free / 100) == alone


@pytest.mark.parametrize("recipe", [gpc, irasim], ids=["gpc", "irasim"])
def test_the_reward_is_trained_once_for_all_arms_and_worlds(
    recipe: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = searching(recipe, monkeypatch)
    assert JUDGE in check.once and JUDGE not in (check.policy, *check.model)
    stages = {stage.name: stage for stage in check.system(shape_of(PUSHED)).stages}
    assert [stages[name].modules for name in check.model] == [("network",)] * len(check.model)
    assert all(arm.world in check.worlds for arm in check.arms.values())


def test_nobody_is_told_how_much_is_covered_where_a_policy_failed() -> None:
    failures = searches._failures(lambda model, seed: Still(4, 2), {0: None}, 2, 2)  # type: ignore[dict-item]
    assert np.isnan(failures.latents["coverage"]).all() and not failures.quality.any() and failures.labelled.any()


# -- 4. the clock -----------------------------------------------------------------------------------------------------


def test_the_world_is_a_process_of_its_own_that_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that takes two chunks to look: time goes on, it misses every deadline, and the success that is told
    is that of this very run."""
    context, started = wall_clock.multiprocessing.get_context("spawn"), []
    begin = context.Process

    def watched(*arguments: Any, **settings: Any) -> Any:
        started.append(begin(*arguments, **settings))
        return started[0]

    monkeypatch.setattr(context, "Process", watched)
    model = tiny_model(size=64)
    look = model.encode_images

    def slow(observation: Any) -> Any:
        time.sleep(0.4)
        return look(observation)

    monkeypatch.setattr(model, "encode_images", slow)
    scene = Scene(["reach-v3"], [0], ["front", "top"], 64, 4, max_steps=2, seconds=1.0)
    report, computing = run_live(model, scene, steps=1, seed=0)
    assert len(started) == 1 and started[0].pid != os.getpid()
    assert report.ticks == 20 and report.deadlines == report.missed == 2
    assert report.successes == [False, False] and report.ages == computing == []


# -- 5. put-backs -----------------------------------------------------------------------------------------------------


def test_the_head_is_shown_put_backs_as_failures_as_often_as_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each pair of frames the object differs and the hand does not, so whoever reads the hand is wrong in half."""
    kept: dict[str, Any] = {}

    def keep(name: str, system: System, shape: Any, data: Mapping[str, Source], out: Any, **rest: Any) -> Any:
        kept.update(stages=system.stages, data=data)
        return Artifact(system.build(shape), ArtifactCard(name, ()), Path("nowhere"))

    rows = moving_square(4, cameras=("image.front", "image.top")).without_labels(range(4))
    shape = shape_of(moving_square(4, cameras=("image.front", "image.top")))
    monkeypatch.setattr(alignment, "artifact", keep)
    monkeypatch.setattr(alignment, "source", lambda name, quick: Source(rows, name))
    monkeypatch.setattr(alignment, "Dataset", lambda path: path)
    monkeypatch.setattr(alignment, "dataset", lambda name, quick: name)
    monkeypatch.setattr(alignment, "success_shown", lambda opened: np.zeros(32, bool))
    monkeypatch.setattr(alignment, "put_back", lambda *asked: (rows, np.arange(32) % 2 == 0))
    system = onex_evaluation.onex_evaluation(shape, DEBUG)
    base = Artifact(system.build(shape), ArtifactCard("w-base", ()), Path("nowhere"))
    alignment.with_head(base, system, shape, True, Path("nowhere"))
    (stage,) = kept["stages"]
    assert stage.name == JUDGE and stage.data["back"] >= sum(
        share for kind, share in stage.data.items() if kind != "back"
    )
    assert kept["data"]["back"].recorded.latents[OUTCOME.name][:4, 0].tolist() == [[0, 1], [1, 0]] * 2


def judged_arms(put_backs: float | None) -> dict[str, Arm]:
    """All that a verdict on agreement needs, and it would be shown."""

    def arm(name: str, share: float, **figures: float | None) -> Arm:
        return Arm(name, (tuple(float(i < 100 * share) for i in range(100)),) * 2, 1.0, 1, 1, 1, figures)

    arms = {name: arm(name, 0.5) for name in ("P = 0", "first frame", "P = 800, other actions")}
    told = {BACK: put_backs, OUTSIDE: 0.0}
    return arms | {"true last frame": arm("true last frame", 0.95), "P = 800": arm("P = 800", 0.8, **told)}


@pytest.mark.parametrize(
    ("put_backs", "words"), [(0.05, "shown"), (0.5, "not shown"), (1.0, "not shown"), (None, "not shown")]
)
def test_a_judge_that_reads_the_hand_ends_the_verdict(put_backs: float | None, words: str) -> None:
    """Half of the put-backs were called success once, by a judge that agreed with the truth in 93 of 100."""
    verdict = alignment.verdict_of(judged_arms(put_backs), "P = 800", "P = 0")
    assert verdict is not None and verdict.outcome == words and (BACK in verdict.reason) == (words == "not shown")


def test_a_reward_of_push_t_is_asked_about_successes_with_the_block_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[np.ndarray] = []

    def says(model: object, frames: Mapping[str, np.ndarray], text: np.ndarray, stream: object) -> np.ndarray:
        shown.append(frames[f"image.{pushing.CAMERA}"])
        return np.ones(len(text))

    monkeypatch.setattr(pushing, "judged_frames", says)
    held = replace(PUSHED, latents={"coverage": np.zeros((32, 1, 1))})
    said = pushing.reward_errors(None, held, 2)  # type: ignore[arg-type]
    _, success, back = shown
    changed = (np.abs(success.astype(int) - back).max(-1) > 20).mean((1, 2))
    assert success.shape == back.shape == (2, 64, 64, 3) and (changed > 0.01).all() and (changed < 0.5).all()
    share = said["reward of its block put back"] / said["reward of a success"]
    assert share == 1.0  # it says the same of both: the line, which wants half, does not hold


def test_every_check_of_search_asks_that_of_its_reward() -> None:
    reward = {"reward of a success": 0.9, "reward of its block put back": 0.8, "reward off by": 0.1}
    line = searches.put_back_line(reward)
    assert not line.holds and line.value == pytest.approx(0.889, abs=1e-3)
    assert searches.put_back_line(reward | {"reward of its block put back": 0.1}).holds
    assert not searches.put_back_line(reward | {"reward of its block put back": None}).holds
