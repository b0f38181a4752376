"""Paradigm 2, the model as the policy: `joint.py`, `closed_loop.py`, `open_loop.py`, `representation.py`.

`grounded.py` is what they share: observe the truth, decide, execute. `worlds/protocol.py` is what every policy speaks.
"""

from typing import TYPE_CHECKING

from presage.errors import UserError

if TYPE_CHECKING:
    from presage.networks.robot import RobotModel
    from presage.worlds.protocol import Policy

USES = ("joint", "closed_loop", "open_loop", "no_imagination")
"""Ways to act with a world model alone; `representation` and `planning` need more than the model."""


def uses_of(model: "RobotModel") -> tuple[str, ...]:
    """The ways to act that a model was trained for: its own where it has some, else `USES`."""
    return tuple(model.uses) or USES


def make_policy(use: str, model: "RobotModel", seed: int = 0) -> "Policy":
    """A model as a policy, used in one of the ways `uses_of` it: other streams that it has were never trained alone.

    Raises:
        UserError: there is no such use, or the model imagines no actions.
    """
    from presage.policy.closed_loop import closed_loop
    from presage.policy.grounded import Decision, GroundedPolicy
    from presage.policy.joint import joint, no_imagination
    from presage.policy.open_loop import OpenLoopPolicy
    from presage.timeline.corruption import Given

    if use not in uses_of(model):
        raise UserError(f"no use {use!r}: this model acts by {', '.join(map(repr, uses_of(model)))}")
    if use in model.uses:
        return model.uses[use](model, seed)
    if not any(s.acts and s.corruption != Given() for s in model.backbone.streams):
        raise UserError(f"no use {use!r}: this model imagines no actions, and has no way of its own to act")
    if use == "open_loop":
        return OpenLoopPolicy(model, seed=seed)
    decisions: dict[str, Decision] = {"joint": joint, "closed_loop": closed_loop, "no_imagination": no_imagination}
    return GroundedPolicy(model, decisions[use], seed=seed)
