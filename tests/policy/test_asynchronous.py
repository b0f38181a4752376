"""Asynchronous execution on a line: a ball that each chunk moves, and a policy that wants it at 0."""

import numpy as np
import pytest
import torch
from tests.recorded import ACTIONS, CHUNK, moving_square

from presage.networks.composed import Composed
from presage.networks.packed import Packed
from presage.networks.transformer import Transformer, TransformerConfig
from presage.policy.asynchronous import Asynchronous, forward
from presage.policy.grounded import GroundedPolicy
from presage.policy.sampled import sampled
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.timeline.streams import Stream
from presage.training.recorded import shape_of

STATE = "state"


def line() -> Composed:
    """An untrained model that sees a state."""
    recorded = moving_square()
    streams = [
        Stream("done", 1, CHUNK * ACTIONS, acts=True, source="action"),
        Stream("where", 1, 2, source=STATE),
    ]
    torch.manual_seed(0)
    network = Transformer(TransformerConfig(width=16, layers=1, heads=2, streams=streams))
    for output in network.outputs.values():
        torch.nn.init.normal_(output.weight, std=0.3)  # type: ignore[arg-type]
    return Composed(streams, {}, Packed(network, streams, 2), shape_of(recorded), 2).eval()


class Ball:
    """Moved by the sum of each chunk. What it decides and foresees is exact."""

    def __init__(self, at: float) -> None:
        self.at = np.array([[at, 0.0]], np.float32)
        self.model = line()

    def decide(self, session: Session) -> np.ndarray:
        """The whole way to 0 at once, from where the session's newest block says that it is."""
        where = self.model.shape.state_codec.decode(session.last.values["where"][:, 0].numpy())
        return np.stack([-where, np.zeros_like(where)], 1).astype(np.float32)

    def foresee(self, session: Session, running: np.ndarray) -> None:
        where = self.model.shape.state_codec.decode(session.last.values["where"][:, 0].numpy()) + running.sum(1)
        session.append(self.model.encode({"state": where}, running), imagined=True)

    def live(self, policy: Asynchronous, rows: int) -> list[float]:
        policy.reset(["to the left"])
        out = []
        for _ in range(rows):
            self.at = self.at + policy.act({"state": self.at}).sum(1)
            out.append(round(float(self.at[0, 0]), 3))
        return out


def test_without_delay_it_goes_there_at_once() -> None:
    ball = Ball(3.0)
    assert ball.live(Asynchronous(ball.model, ball.decide, 0), 3) == [0, 0, 0]


@pytest.mark.parametrize("latency", [1, 2])
def test_naive_goes_there_again_and_again_and_grounded_once(latency: int) -> None:
    """Who decides on an old frame has not seen what is running already."""
    naive, grounded = Ball(3.0), Ball(3.0)
    went = naive.live(Asynchronous(naive.model, naive.decide, latency), 8)
    assert went[:latency] == [3.0] * latency and went[latency] == 0  # it stands still while it thinks at first
    assert went[latency + 1] == -3  # the same way once more
    stayed = grounded.live(Asynchronous(grounded.model, grounded.decide, latency, grounded.foresee), 8)
    assert stayed == [3.0] * latency + [0] * (8 - latency)


def test_without_delay_it_is_the_grounded_policy() -> None:
    model, decide = line(), sampled(Schedule.joint(2))
    chunks = []
    for policy in (Asynchronous(model, decide, 0, seed=4), GroundedPolicy(model, decide, seed=4)):
        policy.reset(["a", "b"])
        seen = {"state": np.zeros((2, 2), np.float32), "episode": np.array([7, 8])}
        chunks.append([policy.act(seen) for _ in range(3)])
    assert np.array_equal(*chunks)


def test_what_was_imagined_is_flagged_noisy_and_cleared_by_truth() -> None:
    model = line()
    policy = Asynchronous(model, sampled(Schedule.in_turn(2, 2, 0.5)), 2, forward(2, 0.5), context=2)
    policy.reset(["a"])
    for row in range(3):
        policy.act({"state": np.full((1, 2), row, np.float32)})
        assert [b.imagined for b in policy.session.blocks][-2:] == [True, True]
        assert policy.session.grounded == row
    foreseen = policy.session.blocks[-1].values["where"]
    policy.session.wake()
    assert policy.session.step == 2 and not torch.equal(policy.session.last.values["where"], foreseen)


def test_foresight_steps_under_the_running_chunk() -> None:
    model, ends = line(), []
    for running in (0.0, 1.0):
        session = Session(model, ["a"], context=2)
        session.append(model.encode({"state": np.zeros((1, 2), np.float32)}, None))
        forward(2)(session, np.full((1, CHUNK, ACTIONS), running, np.float32))
        ends.append(session.last.values)
    assert not torch.allclose(ends[0]["where"], ends[1]["where"])
    told = model.shape.action_codec.encode(np.ones((1, CHUNK * ACTIONS)))
    np.testing.assert_allclose(ends[1]["done"].flatten(1).numpy(), told, atol=1e-5)


def test_finished_rows_are_dropped_with_what_was_running_for_them() -> None:
    policy = Asynchronous(line(), sampled(Schedule.joint(1)), 2)
    policy.reset(["a", "b", "c"])
    for active in ([True] * 3, [True, False, True], [False, False, True]):
        seen = {"state": np.zeros((3, 2), np.float32), "active": np.array(active)}
        chunks = policy.act(seen)
        assert chunks.shape == (3, CHUNK, ACTIONS) and (chunks[~np.array(active)] == 0).all()
    assert policy.session.batch == 1 and [len(chunk) for chunk in policy.ahead] == [1, 1]
