"""The U-Net as a backbone: its memory is past frames, a clip is one question, a tap is a stage of the decoder."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from presage.networks.unet import UNet, UNetConfig
from presage.timeline.backbone import Condition, Tap, Window
from presage.timeline.memory import Memory
from presage.timeline.streams import Stream

STREAMS = [Stream("done", 1, 4, acts=True), Stream("left", 16, 3), Stream("right", 16, 3), Stream("felt", 1, 2)]
CONFIG = UNetConfig(("left", "right"), widths=(8, 16, 24), dim=32, layers=1, heads=2, past=2)
B = 2


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESAGE_FP32", "1")


def network(**changes: Any) -> UNet:
    """With weights drawn at random, those that training starts at 0 too."""
    torch.manual_seed(0)
    net = UNet(STREAMS, replace(CONFIG, **changes))
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return net.eval()


def drawn(steps: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {s.name: torch.randn(B, steps, s.tokens, s.dim, generator=generator) for s in STREAMS}


def window(first: int, steps: int, level: float, seed: int = 0, **more: Any) -> Window:
    levels = {s.name: torch.full((B, steps), level) for s in STREAMS}
    return Window(drawn(steps, seed), levels, first + torch.arange(steps).expand(B, steps), **more)


def told(seed: int = 0) -> Condition:
    return Condition(torch.randn(B, 256, generator=torch.Generator().manual_seed(seed)))


def test_a_question_beside_its_history_is_what_a_session_asks_of_its_memory() -> None:
    net, history = network(), window(0, 4, 0.0, remember=True)
    question = window(1, 3, 0.7, seed=1)
    together = net([history, question], net.start(B), told())
    memory = net([history], net.start(B), told()).memory
    assert len(memory) == 4
    for i in range(3):  # the step i + 1 sees what was before it, and nothing of the other questions
        alone = Window(
            {k: x[:, i : i + 1] for k, x in question.values.items()},
            {k: x[:, i : i + 1] for k, x in question.levels.items()},
            question.steps[:, i : i + 1],
        )
        out = net([alone], memory.truncate(i + 1), told())
        for name, x in out.raw[0].items():
            torch.testing.assert_close(x[:, 0], together.raw[1][name][:, i])


def test_only_what_is_asked_is_answered_and_history_leaves_a_frame_each() -> None:
    net = network()
    question = window(1, 1, 1.0)
    given = replace(question, levels=question.levels | {"done": torch.zeros(B, 1)})
    out = net([window(0, 1, 0.0, remember=True), given], net.start(B), told())
    assert set(out.raw[1]) == {"left", "right", "felt"} and out.raw[0] == {}
    assert out.memory.entries[0].what == ("left", "right", "felt")


def answer(net: UNet, question: Window, memory: Memory, condition: Condition) -> Tensor:
    return net([question], memory, condition).raw[0]["left"]


@pytest.mark.parametrize("changed", ["done", "left", "felt", "text", "past", "level"])
def test_whatever_is_told_changes_the_answer(changed: str) -> None:
    net = network()
    memory = net([window(0, 2, 0.0, remember=True)], net.start(B), told()).memory
    question, condition, seen = window(2, 1, 0.5, seed=1), told(), memory
    if changed == "text":
        condition = told(1)
    elif changed == "past":
        seen = net([window(0, 2, 0.0, seed=5, remember=True)], net.start(B), told()).memory
    elif changed == "level":
        question = replace(question, levels={k: x + 0.2 for k, x in question.levels.items()})
    else:
        question = replace(question, values=question.values | {changed: drawn(1, 9)[changed]})
    before = answer(net, window(2, 1, 0.5, seed=1), memory, told())
    assert not torch.allclose(answer(net, question, seen, condition), before, atol=1e-4)


def test_the_steps_of_a_clip_see_each_other_and_apart_they_do_not() -> None:
    net = network()
    memory = net([window(0, 1, 0.0, remember=True)], net.start(B), told()).memory
    for together in (True, False):
        question = window(1, 3, 0.5, seed=1, together=together)
        other = replace(question, values={k: torch.cat([x[:, :2], -x[:, 2:]], 1) for k, x in question.values.items()})
        moved = answer(net, question, memory, told()) - answer(net, other, memory, told())
        assert bool(moved[:, 0].abs().max() > 1e-6) == together


def test_without_tiling_the_first_step_of_a_clip_alone_sees_the_past() -> None:
    """As far as frames go: what is far away in time is not told either."""
    net = network(tiled=False, layers=0)
    first, second = (net([window(0, 1, 0.0, seed=s, remember=True)], net.start(B), told()).memory for s in (3, 4))
    question = window(1, 3, 0.5, seed=1, together=True)
    net.time[0] = _Same()
    moved = (answer(net, question, first, told()) - answer(net, question, second, told())).flatten(2).abs().amax((0, 2))
    assert moved[0] > 1e-3 and moved[2] < 1e-5


class _Same(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def test_a_context_hides_what_is_further_back() -> None:
    net = network()
    old, new = window(0, 1, 0.0, seed=7, remember=True), window(1, 1, 0.0, remember=True)
    both = net([old, new], net.start(B), told()).memory
    question = window(2, 1, 0.5)
    near = replace(told(), context=1)
    alone = answer(net, question, both.recent(1), near)
    torch.testing.assert_close(answer(net, question, both, near), alone)
    assert not torch.allclose(answer(net, question, both, told()), alone, atol=1e-4)


def test_a_tap_reads_a_stage_of_the_decoder() -> None:
    net = network()
    memory = net([window(0, 1, 0.0, remember=True)], net.start(B), told()).memory
    question = window(1, 3, 1.0, together=True)
    for layer, (places, width) in enumerate([(1, 24), (1, 24), (4, 16), (16, 8)], 1):
        out = net([question], memory, told(), Tap(layer))
        assert out.features is not None and out.features[0]["left"].shape == (B, 3, places, width)


def test_at_first_everything_stays_where_it_is() -> None:
    net = UNet(STREAMS, CONFIG)
    history = window(0, 1, 0.0, remember=True)
    out = net([history, window(1, 1, 1.0)], net.start(B), told())
    left = history.values["left"]
    assert (out.raw[1]["left"] - left).abs().mean() < 0.2 * left.abs().mean()


def test_the_numbers_of_a_token_may_be_a_square_of_places() -> None:
    streams = [Stream("seen", 4, 8)]
    config = UNetConfig(("seen",), widths=(8, 16), dim=32, layers=1, heads=2, past=1, fold=2)
    net = UNet(streams, config)
    x = torch.randn(B, 1, 4, 8)
    images = net._unfold(x[:, :, None])
    assert images.shape == (B, 2, 4, 4)
    torch.testing.assert_close(net._fold(images)[:, 0], x[:, 0])


def test_pictures_must_be_squares_of_one_size() -> None:
    with pytest.raises(ValueError, match="squares of one size"):
        UNet([Stream("left", 16, 3), Stream("right", 4, 3)], UNetConfig(("left", "right")))


SEEN = [Stream("done", 1, 4, acts=True), Stream("left", 16, 12), Stream("felt", 1, 2)]


def composing(**changes: Any) -> UNet:
    torch.manual_seed(0)
    config = UNetConfig(("left",), widths=(8, 16), dim=32, layers=1, heads=2, past=2, head="composite")
    net = UNet(SEEN, replace(config, **changes))
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return net.eval()


def step(at: int, seed: int, level: float = 0.0, **more: Any) -> Window:
    generator = torch.Generator().manual_seed(seed)
    values = {s.name: torch.randn(B, 1, s.tokens, s.dim, generator=generator) for s in SEEN}
    return Window(values, {s.name: torch.full((B, 1), level) for s in SEEN}, torch.full((B, 1), at), **more)


@pytest.mark.parametrize("head", ["change", "composite"])
def test_a_composing_network_remembers_the_oldest_frame_however_long_ago(head: str) -> None:
    net = composing(head=head)
    answers = []
    for first in (1, 2):  # the oldest of five frames; two are within reach
        history = [step(0, first, remember=True), *[step(i, 10 + i, remember=True) for i in range(1, 5)]]
        memory = net(history, net.start(B), told()).memory.recent(2)
        answers.append(answer(net, step(5, 3, 0.5), memory, told()))
    assert torch.equal(*answers) == (head == "change")


def test_without_a_past_the_newest_frame_is_the_oldest() -> None:
    net, question = composing(), step(1, 3, 0.5)
    memories = [net([step(0, 1, remember=True)], net.start(B), told()).memory]
    memories.append(net([step(-1, 2, remember=True), step(0, 1, remember=True)], net.start(B), told()).memory)
    alone, longer = (answer(net, question, memory, replace(told(), context=0)) for memory in memories)
    torch.testing.assert_close(alone, longer)


@pytest.mark.parametrize("given", [True, False])
def test_words_and_quality_change_nothing_where_the_action_is_given(given: bool) -> None:
    net = composing(deaf=True)
    memory = net([step(0, 1, remember=True)], net.start(B), told()).memory
    question = step(1, 3, 0.5)
    question = replace(question, levels=question.levels | {"done": torch.full((B, 1), 0.0 if given else 0.5)})
    good, poor = (replace(question, quality=torch.full((B, 1), q)) for q in (1.0, 0.0))
    assert torch.equal(answer(net, good, memory, told()), answer(net, good, memory, told(1))) == given
    assert torch.equal(answer(net, good, memory, told()), answer(net, poor, memory, told())) == given


@pytest.mark.parametrize("plain", [True, False])
def test_plain_words_add_up_in_what_blocks_are_told(plain: bool) -> None:
    net, heard = network(plain_words=plain), []
    block: Any = net.down[0]
    block[0].register_forward_pre_hook(lambda module, given: heard.append(given[1]))
    one, other = told(0).text, told(1).text
    for text in (one, other, one + other, torch.zeros_like(one)):
        net([window(0, 1, 0.7)], net.start(B), Condition(text))
    first, second, both, none = heard
    assert not torch.allclose(first, none, atol=1e-3)
    assert torch.allclose(first + second, both + none, atol=1e-4) == plain


def test_an_action_alone_is_what_the_whole_network_says_of_it() -> None:
    """The decoder is left out where no picture is asked for."""
    net = composing()
    memory = net([step(0, 1, remember=True)], net.start(B), told()).memory
    question = step(1, 3, 0.5)
    alone = Window({"done": question.values["done"]}, {"done": question.levels["done"]}, question.steps)
    blank = torch.zeros_like(question.values["left"])
    shown = replace(alone, values=alone.values | {"left": blank}, levels=alone.levels | {"left": torch.ones(B, 1)})
    out, whole = (net([w], memory, told()).raw[0] for w in (alone, shown))
    assert set(out) == {"done"} and set(whole) == {"done", "left"}
    torch.testing.assert_close(out["done"], whole["done"])


def test_blocks_are_told_for_each_resolution() -> None:
    assert [len(blocks) for blocks in composing(blocks=(1, 3)).down] == [1, 3]
