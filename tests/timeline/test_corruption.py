"""What every corruption promises, and what only some do."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from presage.timeline.corruption import DDPM, EDM, Corruption, Flow, Given, MaskReplace, Regress

GAUSSIAN: list[Corruption] = [
    Flow(),
    Flow("velocity"),
    Flow(beta=0.1),
    DDPM(predict="noise"),
    DDPM(predict="clean"),
    DDPM(predict="velocity"),
    EDM(),
]
DISCRETE: list[Corruption] = [MaskReplace(), Regress("cross-entropy")]
ONE_PASS: list[Corruption] = [Regress("l1"), Regress("l2"), Regress("smooth"), Regress("cross-entropy")]
LEARNED = [*GAUSSIAN, MaskReplace(), *ONE_PASS]
EVERY = [*LEARNED, Given()]

every = pytest.mark.parametrize("corruption", EVERY, ids=repr)
learned = pytest.mark.parametrize("corruption", LEARNED, ids=repr)
gaussian = pytest.mark.parametrize("corruption", GAUSSIAN, ids=repr)
few = settings(max_examples=10)
levels, seeds = st.floats(0.01, 1.0), st.integers(0, 1000)


def drawn(corruption: Corruption, seed: int) -> tuple[Tensor, Tensor]:
    """Values (2, 3, T, C) and as much noise, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(2, 2, 3, 6, 4, generator=generator, dtype=torch.double)
    return (F.one_hot(x.argmax(-1), 4).double() if corruption in DISCRETE else x), noise


def at(level: float) -> Tensor:
    return torch.full((2, 3), level, dtype=torch.double)


def perfect(corruption: Corruption, x: Tensor, noise: Tensor, level: float) -> Tensor:
    """The output of a network that knows values and noise, as the papers define what it is to say."""
    if corruption in DISCRETE:
        return 100 * x  # logits
    signal = corruption.corrupt(torch.ones_like(x), at(level), torch.zeros_like(x))
    spread = corruption.corrupt(torch.zeros_like(x), at(level), torch.ones_like(x))
    if corruption == Flow("velocity"):
        return noise - x  # Lipman et al. 2023, equation 23
    if corruption == DDPM(predict="noise"):
        return noise  # Ho et al. 2020, equation 14
    if corruption == DDPM(predict="velocity"):
        return signal * noise - spread * x  # Salimans & Ho 2022, section 4
    if corruption == EDM():
        return spread * x - signal * noise  # Karras et al. 2022, equation 8 and table 1, of data of variance 1
    return x


# -- what every one promises ------------------------------------------------------------------------------------------


@every
@few
@given(seed=seeds)
def test_at_level_0_the_clean_value_is_shown(corruption: Corruption, seed: int) -> None:
    x, noise = drawn(corruption, seed)
    torch.testing.assert_close(corruption.corrupt(x, at(0.0), noise), x)


@learned
@few
@given(seed=seeds)
def test_at_level_1_nothing_of_the_value_is_left(corruption: Corruption, seed: int) -> None:
    x, noise = drawn(corruption, seed)
    left = corruption.corrupt(x, at(1.0), noise) - corruption.corrupt(torch.zeros_like(x), at(1.0), noise)
    assert left.abs().max() <= 0.02 * x.abs().max()  # the last sigma of EDM is 80 and not infinite


@every
@few
@given(seed=seeds, level=levels)
def test_what_a_perfect_network_says_stands_for_the_value(corruption: Corruption, seed: int, level: float) -> None:
    x, noise = drawn(corruption, seed)
    x_k = corruption.corrupt(x, at(level), noise)
    raw = perfect(corruption, x, noise, level)
    torch.testing.assert_close(corruption.clean(raw, x_k, at(level)), x, atol=1e-6, rtol=0)


@learned
@few
@given(seed=seeds, level=levels)
def test_only_a_perfect_network_makes_no_error(corruption: Corruption, seed: int, level: float) -> None:
    x, noise = drawn(corruption, seed)
    x_k = corruption.corrupt(x, at(level), noise)
    raw = perfect(corruption, x, noise, level)
    error = corruption.error(raw, x, x_k, noise, at(level))
    torch.testing.assert_close(error, torch.zeros_like(x), atol=1e-6, rtol=0)
    asked = (x_k.sum(-1) < 0.5).any() if corruption == MaskReplace() else True
    assert (corruption.error(raw.roll(1, -1), x, x_k, noise, at(level)).sum() > 1e-3) == asked


@learned
@few
@given(seed=seeds, steps=st.integers(1, 6))
def test_a_walk_with_a_perfect_network_ends_at_the_value(corruption: Corruption, seed: int, steps: int) -> None:
    x, noise = drawn(corruption, seed)
    x_k = corruption.corrupt(x, at(1.0), noise)
    for i in range(steps):
        level, to = 1 - i / steps, 1 - (i + 1) / steps
        clean = corruption.clean(perfect(corruption, x, noise, level), x_k, at(level))
        x_k = corruption.step(x_k, clean, at(level), at(to))
    torch.testing.assert_close(x_k, x, atol=1e-5, rtol=0)


# -- Gaussian ones ----------------------------------------------------------------------------------------------------


@gaussian
@few
@given(seed=seeds, level=st.floats(0.1, 1.0), share=st.floats(0.0, 1.0))
def test_an_exact_prediction_walks_down_exactly(corruption: Corruption, seed: int, level: float, share: float) -> None:
    """One step ends where the value would be shown with the same noise at the lower level."""
    x, noise = drawn(corruption, seed)
    x_k = corruption.corrupt(x, at(level), noise)
    found = corruption.step(x_k, x, at(level), at(level * share))
    torch.testing.assert_close(found, corruption.corrupt(x, at(level * share), noise), atol=1e-5, rtol=0)


@gaussian
@few
@given(level=st.floats(0.0, 1.0), to=st.floats(0.0, 1.0))
def test_a_higher_level_shows_less_of_the_value(corruption: Corruption, level: float, to: float) -> None:
    shown, less = (
        corruption.corrupt(torch.ones(1, 1), torch.tensor(k), torch.zeros(1, 1)) for k in sorted((level, to))
    )
    assert less <= shown


@pytest.mark.parametrize("corruption", [DDPM(), EDM()], ids=repr)
@few
@given(seed=seeds, level=st.floats(0.0, 1.0))
def test_values_of_variance_1_keep_it(corruption: Corruption, seed: int, level: float) -> None:
    one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    signal, spread = (corruption.corrupt(a, torch.tensor(level), b) for a, b in ((one, zero), (zero, one)))
    torch.testing.assert_close(signal.square() + spread.square(), one)


@pytest.mark.parametrize("corruption", [DDPM(), EDM()], ids=repr)
def test_what_is_clean_already_stays_as_it_is(corruption: Corruption) -> None:
    x, _ = drawn(corruption, 0)
    torch.testing.assert_close(corruption.step(x, x, at(0.0), at(0.0)), x)


@few
@given(seed=seeds, level=st.floats(0.01, 1.0))
def test_the_error_of_a_clean_value_is_that_of_the_velocity_down_to_the_floor(seed: int, level: float) -> None:
    x, noise = drawn(Flow(), seed)
    k, x_k = at(level), Flow().corrupt(x, at(level), noise)
    guess = x + 0.1 * noise
    of_clean = Flow(floor=0.2).error(guess, x, x_k, noise, k)
    of_velocity = Flow("velocity").error((x_k - guess) / k[..., None, None], x, x_k, noise, k)
    torch.testing.assert_close(of_clean, of_velocity * min(1.0, level / 0.2) ** 2)


def test_beyond_beta_an_error_counts_by_its_size() -> None:
    x, k = torch.tensor([[[0.0, 0.0]]]), torch.ones(1)
    error = Flow(beta=0.1).error(torch.tensor([[[0.05, 5.0]]]), x, x, x, k)
    torch.testing.assert_close(error, torch.tensor([[[0.5 * 0.05**2 / 0.1, 5.0 - 0.05]]]))


@pytest.mark.parametrize("corruption", [Flow(limit=2.0), DDPM(limit=2.0), EDM(limit=2.0), Regress(limit=2.0)], ids=repr)
def test_no_walk_ends_beyond_the_limit(corruption: Corruption) -> None:
    x_k, clean = torch.zeros(1, 1, 2), torch.tensor([[[9.0, -9.0]]])
    assert corruption.step(x_k, clean, torch.ones(1), torch.zeros(1)).tolist() == [[[2.0, -2.0]]]


# -- discrete tokens and answers in one pass --------------------------------------------------------------------------


@few
@given(seed=seeds, level=levels, share=st.floats(0.0, 1.0))
def test_a_masked_token_is_replaced_and_a_shown_one_is_kept(seed: int, level: float, share: float) -> None:
    corruption = MaskReplace()
    x, noise = drawn(corruption, seed)
    x_k, raw = corruption.corrupt(x, at(level), noise), 3 * noise.roll(1, 0)
    shown = x_k.sum(-1) > 0.5
    clean = corruption.clean(raw, x_k, at(level))
    assert torch.equal(clean[shown], x[shown])
    torch.testing.assert_close(clean[~shown], raw.softmax(-1)[~shown])
    to = share * (~shown).double().mean(-1)  # at least as many are to be shown as are
    after = corruption.step(x_k, clean, at(level), to)
    assert torch.equal(after[shown], x[shown])
    assert torch.equal((after.sum(-1) == 0).sum(-1), (to * x.shape[-2]).round().long())


def test_the_surest_token_is_shown_first() -> None:
    clean = torch.tensor([[[0.6, 0.4], [0.1, 0.9], [0.5, 0.5]]])
    step = MaskReplace().step(torch.zeros_like(clean), clean, torch.ones(1), torch.tensor([2 / 3]))
    assert step.tolist() == [[[0, 0], [0, 1], [0, 0]]]


@few
@given(seed=seeds)
def test_as_many_tokens_are_masked_as_the_level_says(seed: int) -> None:
    noise = torch.randn(1, 4000, 1, generator=torch.Generator().manual_seed(seed))
    masked = MaskReplace().corrupt(torch.ones(1, 4000, 2), torch.tensor([0.3]), noise.expand(-1, -1, 2))
    assert (masked[..., 0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.04)


@few
@given(seed=seeds)
def test_the_error_of_a_token_is_its_cross_entropy_and_a_shown_one_costs_nothing(seed: int) -> None:
    x, raw = drawn(MaskReplace(), seed)
    surprise = F.cross_entropy(raw.flatten(0, 2), x.flatten(0, 2).argmax(-1), reduction="none").view(*x.shape[:3], 1)
    every = surprise.expand_as(x)  # the same for every number of a token
    torch.testing.assert_close(Regress("cross-entropy").error(raw, x, x, raw, at(1.0)), every)
    x_k = MaskReplace().corrupt(x, at(0.5), raw)
    masked = x_k.sum(-1, keepdim=True) == 0
    torch.testing.assert_close(MaskReplace().error(raw, x, x_k, raw, at(0.5)), every * masked)


def test_an_answer_in_one_pass_is_there_or_not() -> None:
    x = torch.ones(2, 1, 1)
    assert Regress().corrupt(x, torch.tensor([0.4, 1.0]), x).flatten().tolist() == [1, 0]
    assert Regress().one_pass and not any(c.one_pass for c in (*GAUSSIAN, MaskReplace(), Given()))


def test_what_is_given_is_never_corrupted_never_asked_for_and_costs_nothing() -> None:
    x, noise = drawn(Given(), 0)
    assert Given().corrupt(x, at(1.0), noise) is x and Given().clean(noise, x, at(1.0)) is x
    assert Given().step(x, noise, at(1.0), at(0.5)) is x
    assert not Given().error(noise, x, x, noise, at(1.0)).any()
