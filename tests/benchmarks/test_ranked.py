"""Policies to rank differ in kind, and what is replayed belongs to the right episodes."""

from pathlib import Path

import numpy as np
import torch
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_model

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.ranked import Ranked, of_another_episode, policies_to_rank
from presage.simulator.environment import DreamWorld
from presage.simulator.evaluation import Disturbed, slowed
from presage.worlds import ExpertPolicy


def test_there_are_fourteen_of_which_eight_are_not_trivial(tmp_path: Path) -> None:
    args = BenchArgs(tmp_path, 0, 1, torch.device("cpu"), quick=True)
    ranked = policies_to_rank(args, tiny_model(), FakeWorld(2), ["a", "b"], [1, 2], 2)
    close = {name for name, one in ranked.items() if not one.trivial}
    assert len(ranked) >= 14 and len(close) >= 8
    assert not close & {"random", "still", "joint_noise_1.0", "joint_noise_2.0"}
    assert {name for name, one in ranked.items() if one.blind} == {name for name in ranked if "expert" in name}


def test_an_expert_elsewhere_does_what_it_did_on_another_seed() -> None:
    class Numbered(FakeWorld):
        def expert_chunk(self, active=None):
            return np.broadcast_to(self.state[:, :1, None] / 10, (self.num_envs, 4, 4)).astype(np.float32)

    def first(seed: int) -> list[float]:
        return [actions[0, 0, 0] for actions in of_another_episode(Numbered(2), ["a", "b"], [seed, seed], 1)]

    x = np.random.default_rng(500).uniform(-0.5, 0.4, 4)[0] / 10
    np.testing.assert_allclose(first(0), [x, x], atol=1e-6)
    assert not np.allclose(first(0), first(1))


def test_what_needs_the_simulator_is_done_again_in_the_dream(monkeypatch) -> None:
    world = FakeWorld(2)
    dream = DreamWorld(tiny_model(), world, threshold=2.0)
    tasks, seeds = ["a", "b", "a"], [1, 2, 3]
    ranked = Ranked(Disturbed(ExpertPolicy(world), slowed(0.5)), blind=True)
    real = ranked.real(world, tasks, seeds, max_steps=9)
    executed: list[np.ndarray] = []

    def step(chunks, active=None, step=dream.step):
        executed.append(chunks)
        return step(chunks, active)

    monkeypatch.setattr(dream, "step", step)
    imagined = ranked.imagined(dream, real, max_steps=9)
    assert [(e.task, e.seed) for e in imagined] == list(zip(tasks, seeds, strict=True))
    assert np.array_equal(executed[0], np.stack([e.actions[0] for e in real[:2]]))
    assert not executed[max(e.steps for e in real[:2])].any()  # then it stands still
