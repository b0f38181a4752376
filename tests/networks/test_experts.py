"""Experts with joint attention: streams keep to their own weights and see each other; what a session remembers equals a
recomputation of everything."""

from collections.abc import Sequence

import pytest
import torch

from presage.benchmarks.cache import full_precision
from presage.codecs.scalars import ScalarCodec
from presage.networks.composed import Composed, Shape
from presage.networks.experts import Expert, Experts, ExpertsConfig, Inherit
from presage.networks.packed import Packed
from presage.timeline.attention import one_way, teacher_forced
from presage.timeline.backbone import Condition, Output, Tap, Window
from presage.timeline.levels import GIVEN, Schedule, down, flat
from presage.timeline.memory import Entry, Memory
from presage.timeline.noise import Streams, draw, streams
from presage.timeline.sampler import walk
from presage.timeline.session import Session
from presage.timeline.streams import Stream, Values

STREAMS = [Stream("done", 2, 3, acts=True, offsets=(-1.0, -0.5)), Stream("seen", 4, 6)]
EXPERTS = (Expert("action", ("done",), 16), Expert("video", ("*",), 32))
TEXT = torch.linspace(-1, 1, 8)[None]


def network(condition: str = "added", seed: int = 0) -> Experts:
    torch.manual_seed(seed)
    made = Experts(ExpertsConfig(EXPERTS, 2, 2, 8, text_dim=8, condition=condition), STREAMS)  # type: ignore[arg-type]
    for weights in made.parameters():  # outputs and modulations of a fresh one are 0
        if weights.ndim == 2 and not weights.any():
            torch.nn.init.normal_(weights, std=0.3)
    return made.eval()


def model(condition: str = "added", context: int = 3) -> Composed:
    scalars = ScalarCodec([0.0] * 6, [1.0] * 6), ScalarCodec([0.0], [1.0])
    packed = Packed(network(condition), STREAMS, context, lambda c: teacher_forced(c, one_way))
    return Composed(STREAMS, {}, packed, Shape((), 16, 2, 3, 1, *scalars, fps=5.0), context).eval()


def values_of(generator: torch.Generator, first: bool = False) -> Values:
    drawn = {s.name: torch.randn(1, s.tokens, s.dim, generator=generator) for s in STREAMS}
    return {"seen": drawn["seen"]} if first else drawn


def question(values: Values, level: dict[str, float]) -> Window:
    """Of step 1, unknown where it has no level."""
    levels = {name: torch.full((1, 1), level.get(name, 1.0)) for name in values}
    return Window({name: x[:, None] for name, x in values.items()}, levels, torch.ones(1, 1).long(), together=True)


def answer(model: Composed, values: Values, level: dict[str, float]) -> Values:
    with full_precision(), torch.inference_mode():
        return model.backbone([question(values, level)], Memory(), Condition(torch.zeros(1, 8))).raw[0]


def test_streams_see_each_other_through_weights_of_their_own() -> None:
    values = values_of(torch.Generator().manual_seed(0))
    one, other = model(), model()
    before = answer(one, values, {"seen": 0.5})
    with torch.no_grad():
        network_of = other.get_submodule("network.network.layers.1")
        for weights in network_of[0].parameters():  # type: ignore[index]
            weights.add_(0.5)  # the action expert's last layer
    after = answer(other, values, {"seen": 0.5})
    assert torch.equal(before["seen"], after["seen"]) and not torch.allclose(before["done"], after["done"])
    changed = answer(one, values | {"seen": values["seen"] + 1}, {"seen": 0.5})
    assert not torch.allclose(before["done"], changed["done"])


def test_video_looks_at_an_action_that_is_told_and_at_no_other() -> None:
    values = values_of(torch.Generator().manual_seed(0))
    others = values | {"done": values["done"] + 1}
    for level, sees in ((1.0, False), (0.3, False), (0.0, True)):
        seen = [answer(model(), v, {"done": level, "seen": 0.5})["seen"] for v in (values, others)]
        assert torch.equal(*seen) == (not sees)


@pytest.mark.parametrize("condition", ["added", "adaln"])
def test_levels_reach_every_stream(condition: str) -> None:
    values, made = values_of(torch.Generator().manual_seed(0)), model(condition)
    low, high = (answer(made, values, {"seen": 0.2, "done": k}) for k in (0.4, 0.8))
    assert not torch.allclose(low["done"], high["done"]) and torch.equal(low["seen"], high["seen"])


def test_actions_lie_between_their_frames() -> None:
    packed = model().backbone
    assert isinstance(packed, Packed)
    assert packed._times(STREAMS, torch.tensor([[4]])).tolist() == [[3.0, 3.5, 4.0, 4.0, 4.0, 4.0]]


def test_an_expert_inherits_another_ones_layers_as_large_as_they_were() -> None:
    made = network()
    wide, narrow = made.get_submodule("layers.0.1"), made.get_submodule("layers.0.0")
    Inherit("action", "video")(made)
    a, b = wide.get_parameter("qkv.weight"), narrow.get_parameter("qkv.weight")
    assert a.shape == (48, 32) and b.shape == (48, 16)
    torch.testing.assert_close(b[:, 0], a[:, 0] * 2**0.5)  # corners meet, scaled by the root of the ratio of widths
    assert narrow.get_parameter("norm_mlp.weight").shape == (16,)
    with pytest.raises(ValueError, match="'heard' belongs to no expert: there are action"):
        Experts(ExpertsConfig(EXPERTS[:1]), [Stream("heard", 1, 1)])


class Recomputing:
    """A backbone without a memory: everything that was seen or imagined is read again in every pass."""

    def __init__(self, model: Composed) -> None:
        self.model, self.streams = model, model.streams
        self.past: list[tuple[Values, bool, float]] = []
        """Values of each step, whether they are imagined, and how noisy"""

    def start(self, batch: int) -> Memory[Entry]:
        return Memory()

    def __call__(
        self, windows: Sequence[Window], memory: Memory[Entry], condition: Condition, tap: Tap | None = None
    ) -> Output:
        steps = torch.arange(len(self.past))[None]
        values, levels, present = {}, {}, {}
        for s in STREAMS:
            rows = [v.get(s.name, torch.zeros(1, s.tokens, s.dim)) for v, _, _ in self.past]
            values[s.name] = torch.stack(rows, 1)
            levels[s.name] = torch.tensor([[0.0 if s.acts else level for _, _, level in self.past]])
            present[s.name] = torch.tensor([[s.name in v for v, _, _ in self.past]])
            levels[s.name] = torch.where(present[s.name], levels[s.name], 1.0)
        history = Window(values, levels, steps, remember=True, present=present)
        out = self.model.backbone([history, *windows], Memory(), condition)
        return Output(out.raw[1:], Memory())

    def imagine(self, noise: Streams, schedule: Schedule, given: Values) -> Values:
        start = {name: x[:, None] for name, x in given.items()}
        for s in STREAMS:
            if s.name not in start:
                start[s.name] = draw(noise, (1, s.tokens, s.dim), torch.device("cpu"))
        steps = torch.tensor([[len(self.past)]])
        x = walk(self, Memory(), Condition(TEXT), schedule, start, steps, STREAMS, quality=1.0)
        return {name: v[:, 0] for name, v in x.items()}

    def truth(self, values: Values) -> None:
        self.past = [step for step in self.past if not step[1]] + [(values, False, 0.0)]


def test_what_is_remembered_equals_a_recomputation_of_everything_over_50_chunks() -> None:
    """The grounded executor's loop: truth clears what was imagined, a half-denoised forward step under the running
    action is remembered as that noisy, and the next frame and action are imagined in turn. The context is 3."""
    made, generator = model(), torch.Generator().manual_seed(1)
    cached, other = Session(made, TEXT, seed=3), Recomputing(made)
    noise, worst = streams(3, 1), 0.0
    forward, decide = Schedule(down(2, 0.5), flat(GIVEN, 2)), Schedule.in_turn(2, 2, 0.5)
    with full_precision():
        for i in range(50):
            truth, running = values_of(generator, first=i == 0), values_of(generator)["done"]
            cached.wake()
            cached.append(truth)
            other.truth(truth)
            foreseen = (
                cached.imagine(forward, {"done": running}).values,
                other.imagine(noise, forward, {"done": running}),
            )
            cached.append(foreseen[0], imagined=True, level=0.5)
            other.past.append((foreseen[1], True, 0.5))
            decided = cached.imagine(decide).values, other.imagine(noise, decide, {})
            for one, two in (foreseen, decided):
                worst = max(worst, *(float((one[name] - two[name]).abs().max()) for name in one))
    assert len(cached.blocks) <= 2 * made.context + 1 and cached.step == 50
    assert worst < 1e-4
