"""A training killed at any moment goes on to the same numbers, and what it leaves is the average of its weights."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from presage.device import default_device
from presage.episodes.mixture import Drawn, Mixture
from presage.episodes.windows import Windows
from presage.errors import UserError
from presage.training.batch import Terms, one_term
from presage.training.loop import Optimiser, lengthened, optimise, rate
from presage.training.reference import TrainConfig, train
from tests.tiny import tiny_model
from tests.training.test_data import numbered_rows

CONFIG = TrainConfig(steps=12, batch=2, warmup=2, save_every=3, log_every=1)

SCRIPT = """
import sys
from pathlib import Path
from tests.training.test_loop import run
run(Path(sys.argv[1]))
"""


def run(out: Path, config: TrainConfig = CONFIG) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    model = tiny_model()
    rows = numbered_rows([9, 8])
    rows.state, rows.action = rows.state / 10, rows.action / 10
    rows.latents = (rows.latents / 10)[..., :4, :].repeat(1, 2)[..., : model.config.codec.token_dim]
    return train(model, [(rows, 1.0)], config, out, {}, quiet=True).network.state_dict()


def losses(out: Path) -> list[tuple[int, float]]:
    return [(r["step"], r["loss"]) for r in map(json.loads, (out / "log.jsonl").read_text().splitlines())]


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    expected = run(tmp_path / "whole")
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "killed")])
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "state.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resumed = run(tmp_path / "killed")
    assert all(torch.equal(expected[k], resumed[k]) for k in expected)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_the_rate_warms_up_and_cools_down_to_zero() -> None:
    config = replace(CONFIG, steps=100, warmup=10, cooldown=0.2, lr=1.0)
    assert rate(config, 0) == 0.1 and rate(config, 50) == 1.0 and 0 < rate(config, 99) < 0.06
    assert rate(replace(config, cooldown=0.0), 99) == 1.0  # it need not cool down


class Number(nn.Module):
    """One weight, at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.zeros(1))


STEADY = Optimiser(steps=6, batch=2, lr=0.1, warmup=1, cooldown=0.0, weight_decay=0.0, ema=0.5, log_every=2, bf16=False)


def fit(
    out: Path,
    loss_of: Callable[[Tensor], Tensor],
    config: Optimiser = STEADY,
    quiet: bool = True,
    device: torch.device | None = None,
) -> Number:
    number = Number().to(device)

    def objective(drawn: Drawn, generator: torch.Generator) -> Terms:
        return one_term(loss_of(number.at))

    optimise(number, objective, Mixture([Windows([10], 1)], [1.0]), {"*": 1.0}, config, out, {}, quiet=quiet)
    return number


def test_a_training_leaves_the_moving_average_of_its_weights(tmp_path: Path) -> None:
    """A constant gradient makes AdamW go down by the rate at every step."""
    number = fit(tmp_path, lambda at: 1 + at.sum())
    kept = load_file(tmp_path / "state.safetensors")
    assert kept["model.at"].item() == pytest.approx(-6 * 0.1)  # a run that goes on begins there
    average = 0.0
    for step in range(1, 7):
        decay = min(0.5, (1 + step) / (10 + step))  # the first weights are soon forgotten
        average = decay * average + (1 - decay) * -0.1 * step
    assert number.at.item() == kept["ema.at"].item() == pytest.approx(average)
    assert not number.training


def test_one_steep_step_goes_no_further_than_others(tmp_path: Path) -> None:
    """The norm of the gradient is at most 1 when the weights move."""
    norms: list[float] = []

    def watch(optimizer: torch.optim.Optimizer, *rest: object) -> None:
        norms.append(optimizer.param_groups[1]["params"][0].grad.norm().item())

    handle = register_optimizer_step_pre_hook(watch)
    try:
        fit(tmp_path / "steep", lambda at: 1000 * at.sum() + 1), fit(tmp_path / "flat", lambda at: 0.1 * at.sum() + 1)
    finally:
        handle.remove()
    assert norms == pytest.approx([1.0] * 6 + [0.1] * 6)


def test_the_log_holds_the_mean_of_the_losses_since_the_last_line_and_so_does_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen: list[float] = []

    def loss(at: Tensor) -> Tensor:
        seen.append(float(len(seen)))
        return 0 * at.sum() + seen[-1]

    fit(tmp_path, loss, replace(STEADY, steps=5))
    means = [(2, 0.5), (4, 2.5), (5, 4.0)]  # every second step, and the last
    assert losses(tmp_path) == means
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == means


def test_what_is_not_asked_for_at_every_step_is_logged_as_well(tmp_path: Path) -> None:
    number, step = Number(), itertools.count()

    def objective(drawn: Drawn, generator: torch.Generator) -> Terms:
        i = next(step)
        return {"even" if i % 2 == 0 else "odd": one_term(0 * number.at.sum() + i + 1)["loss"]}

    optimise(number, objective, Mixture([Windows([10], 1)], [1.0]), {"*": 1.0}, STEADY, tmp_path, {}, quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(r["even"], r["odd"]) for r in lines] == [(1, 2), (3, 4), (5, 6)]


def test_data_that_teach_nothing_and_losses_that_are_no_numbers_end_the_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="every loss is 0 after 2 steps"):
        fit(tmp_path / "nothing", lambda at: 0 * at.sum())
    with pytest.raises(UserError, match=r"infinite: step 0: the gradient is not finite; look .* lower `lr`"):
        fit(tmp_path / "infinite", lambda at: at.sum() / 0)


def test_a_training_leaves_the_random_numbers_of_others_as_they_were(tmp_path: Path) -> None:
    before = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    fit(tmp_path, lambda at: 1 + at.sum(), device=default_device())
    assert all(map(torch.equal, before, [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]))


def test_a_training_that_was_lengthened_twice_remembers_all_its_lengths(tmp_path: Path) -> None:
    run = {"steps": [10, 20], "step": 5}
    assert lengthened(run, replace(STEADY, steps=30), tmp_path) == [10, 30]  # the rates so far would have been the same
    cooled = replace(STEADY, cooldown=1.0)
    assert lengthened(run, replace(cooled, steps=30), tmp_path) == [10, 20, 30]
    with pytest.raises(UserError, match="5 of 20 steps are done, --steps 15"):
        lengthened(run, replace(cooled, steps=15), tmp_path)
