"""Many policies of one model, each with an episode of its own, asked at the same time: one batch where they allow it.

A `GroundedPolicy` decides over a session, and sessions can be joined (`timeline/joined.py`). Others, such as open loop,
which looks once in 16 chunks, act one after the other.
"""

from collections.abc import Hashable, Sequence

import numpy as np

from presage.policy.grounded import GroundedPolicy
from presage.timeline.joined import JoinedSession, joinable
from presage.worlds.protocol import Observation, Policy


def act_together(policies: Sequence[Policy], observations: Sequence[Observation]) -> list[np.ndarray]:
    """`[policy.act(observation) for ...]` with the same answers to rounding: a chunk (1, chunk, A) for each.

    Every policy is of batch one and has been reset; none is in the list twice.
    """
    groups: dict[Hashable, list[int]] = {}
    for i, policy in enumerate(policies):
        groups.setdefault(_group(policy, i), []).append(i)
    chunks: dict[int, np.ndarray] = {}
    for rows in groups.values():
        members = [policies[i] for i in rows]
        seen = [observations[i] for i in rows]
        grounded = [policy for policy in members if isinstance(policy, GroundedPolicy)]
        answers = _act(grounded, seen) if len(rows) > 1 else [members[0].act(seen[0])]
        chunks.update(zip(rows, answers, strict=True))
    return [chunks[i] for i in range(len(policies))]


def _group(policy: Policy, number: int) -> Hashable:
    """Policies of equal groups share a batch; `number` is a group of one."""
    if not isinstance(policy, GroundedPolicy):
        return number
    return policy.decide, policy.executed is None, joinable(policy.session)


def _act(policies: Sequence[GroundedPolicy], observations: Sequence[Observation]) -> list[np.ndarray]:
    """What `GroundedPolicy.act` does, over the joined sessions."""
    together = JoinedSession([policy.session for policy in policies])
    observation = {name: np.concatenate([o[name] for o in observations]) for name in observations[0]}
    executed = [policy.executed for policy in policies if policy.executed is not None]
    together.observe(observation, np.concatenate(executed) if executed else None)
    chunks = np.split(policies[0].decide(together), len(policies))
    together.part()
    for policy, chunk in zip(policies, chunks, strict=True):
        policy.executed = chunk
    return chunks
