"""Asking many policies at once gives the answers that each gives alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny import tiny_model, tiny_observation

from presage.networks.world_model import WorldModel
from presage.policy import USES, make_policy
from presage.policy.open_loop import OpenLoopPolicy
from presage.policy.together import act_together
from presage.timeline.joined import JoinedSession
from presage.worlds.protocol import Policy


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return tiny_model()


def four_policies(use: str, model: WorldModel) -> list[Policy]:
    """Reset; open loop looks again after three chunks, so that it does so within an example."""
    made = [
        OpenLoopPolicy(model, horizon=3, seed=seed) if use == "open_loop" else make_policy(use, model, seed)
        for seed in range(4)
    ]
    for i, policy in enumerate(made):
        policy.reset([f"task {i}"])
    return made


@pytest.mark.parametrize("use", USES)
@settings(max_examples=6)
@given(asked=st.lists(st.sets(st.integers(0, 3), min_size=1), min_size=6, max_size=8), data=st.data())
def test_whoever_asks_together_gets_what_it_gets_alone(model: WorldModel, use: str, asked, data) -> None:
    together, alone = four_policies(use, model), four_policies(use, model)
    for turn, who in enumerate(asked):  # robots ask at their own pace, so their episodes are of different lengths
        rows = data.draw(st.permutations(sorted(who)))
        seen = {i: tiny_observation(1, seed=10 * turn + i) for i in rows}
        chunks = act_together([together[i] for i in rows], [seen[i] for i in rows])
        for i, chunk in zip(rows, chunks, strict=True):
            np.testing.assert_allclose(chunk, alone[i].act(seen[i]), atol=1e-4)


def test_robots_at_different_steps_share_a_batch(model: WorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []
    observe = JoinedSession.observe
    monkeypatch.setattr(JoinedSession, "observe", lambda s, *args: batches.append(s.batch) or observe(s, *args))
    policies = [make_policy("joint", model) for _ in range(4)]
    for i, policy in enumerate(policies):
        policy.reset(["open the drawer"])
        for _ in range(i + 1):  # a policy sees the newest frame alone: after the first, all see equally much
            policy.act(tiny_observation(1))
    act_together(policies, [tiny_observation(1, seed=i) for i in range(4)])
    assert batches == [4]
