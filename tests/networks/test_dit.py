"""The transformer that learns of the past beside its tokens: what it looks at, and that its calls agree."""

from typing import Any

import pytest
import torch
from torch import Tensor

from presage.networks.dit import DiT, DiTConfig
from presage.timeline.backbone import Condition, Tap, Window
from presage.timeline.corruption import DDPM
from presage.timeline.streams import Stream

DONE, SEEN, FELT = (
    Stream("done", 2, 3, DDPM(), acts=True),
    Stream("eye.left", 4, 5, DDPM()),
    Stream("felt", 2, 2, DDPM()),
)
STREAMS = [DONE, SEEN, FELT]
B = 3


def network(**options: Any) -> DiT:
    """One whose every weight matters: fresh ones answer 0."""
    torch.manual_seed(0)
    made = DiT(DiTConfig(width=16, layers=2, heads=2, text_dim=7, **options), STREAMS)
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return made.eval()


def values(steps: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {s.name: torch.randn(B, steps, s.tokens, s.dim, generator=generator) for s in STREAMS}


def window(x: dict[str, Tensor], first: int, names: tuple[str, ...] = ("done", "eye.left"), **options: Any) -> Window:
    n = next(iter(x.values())).shape[1]
    steps = first + torch.arange(n).expand(B, n)
    return Window({k: x[k] for k in names}, {k: torch.full((B, n), 0.5) for k in names}, steps, **options)


def history(x: dict[str, Tensor]) -> Window:
    return window(x, 0, ("eye.left", "felt"), remember=True)


CONDITION = Condition(torch.ones(B, 7))
WAYS = [{"told": ("eye.left",), "registers": 3}, {"beside": {"eye.left": ("eye.left",), "done": ("felt",)}}]


def asked(net: DiT, past: Window, question: Window) -> dict[str, Tensor]:
    with torch.inference_mode():
        return net([past, question], net.start(B), CONDITION).raw[1]


@pytest.mark.parametrize("way", WAYS)
def test_it_looks_at_the_newest_step_alone(way: dict[str, Any]) -> None:
    net, past, question = network(**way), values(3, 0), window(values(1, 1), 3, together=True)
    before = asked(net, history(past), question)
    older = {name: torch.cat([x[:, :2] + 1, x[:, 2:]], 1) for name, x in past.items()}
    newer = {name: torch.cat([x[:, :2], x[:, 2:] + 1], 1) for name, x in past.items()}
    torch.testing.assert_close(asked(net, history(older), question), before)
    assert not torch.allclose(asked(net, history(newer), question)["done"], before["done"], atol=1e-2)


@pytest.mark.parametrize("way", WAYS)
def test_questions_of_one_call_are_answered_as_each_alone(way: dict[str, Any]) -> None:
    """What training asks at once, a session asks one by one, of a memory."""
    net, past, x = network(**way), values(3, 0), values(3, 1)
    together = asked(net, history(past), window(x, 1))
    with torch.inference_mode():
        memory = net([history(past)], net.start(B), CONDITION).memory
    for i in range(3):
        question = window({name: v[:, i : i + 1] for name, v in x.items()}, i + 1, together=True)
        with torch.inference_mode():
            alone = net([question], memory.truncate(i + 1), CONDITION).raw[0]
        for name, answer in alone.items():
            torch.testing.assert_close(answer[:, 0], together[name][:, i], atol=1e-4, rtol=1e-4)


def test_what_was_not_recorded_is_hidden_or_noise_like_any_other() -> None:
    past, x = history(values(1, 0)), values(1, 1)
    other = {**x, "done": x["done"] + 1}
    present = {"done": torch.zeros(B, 1, dtype=torch.bool)}
    for hide in (True, False):
        net = network(told=("eye.left",), hide_missing=hide)
        one, two = (asked(net, past, window(v, 1, together=True, present=present))["eye.left"] for v in (x, other))
        assert torch.allclose(one, two, atol=1e-5) is hide


def test_a_question_may_hold_only_what_was_not_recorded() -> None:
    present = {"done": torch.zeros(B, 1, dtype=torch.bool)}
    net = network(hide_missing=True)
    raw = asked(net, history(values(1, 0)), window(values(1, 1), 1, ("done",), together=True, present=present))
    assert raw["done"].isfinite().all()


def test_what_a_question_does_not_hold_is_not_answered() -> None:
    raw = asked(network(), history(values(1, 0)), window(values(1, 1), 1, ("done",), together=True))
    assert set(raw) == {"done"}


def test_features_are_read_after_a_layer() -> None:
    net, question = network(told=("eye.left",)), window(values(1, 1), 1, together=True)
    with torch.inference_mode():
        taps = [net([question], net.start(B), CONDITION, Tap(layer)).features for layer in (1, 2, None)]
    shapes = [part[0]["eye.left"].shape for part in taps if part is not None]
    assert shapes == [(B, 1, SEEN.tokens, 16)] * 3


def test_what_cannot_stand_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"eye.left has not as many tokens as done"):
        network(beside={"done": ("eye.left",)})
    with pytest.raises(ValueError, match="a question of 2 steps"):
        asked(network(), history(values(1, 0)), window(values(2, 1), 1, together=True))
