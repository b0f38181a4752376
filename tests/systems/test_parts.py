"""Parts that recipes share."""

from presage.systems.parts import scaled
from presage.systems.system import BASE, CARD, DEBUG, SMALL
from presage.training.loop import Optimiser


def test_a_card_sees_more_windows_in_fewer_steps_and_a_debug_twin_hardly_any() -> None:
    usual = Optimiser(steps=1000, batch=16, warmup=200)
    base, card, debug = (scaled(usual, size) for size in (BASE, CARD, DEBUG))
    assert scaled(usual, SMALL) == usual
    assert (base.steps, base.batch) == (3000, 16)
    assert (card.steps, card.batch) == (300, 256)
    assert card.steps * card.batch > base.steps * base.batch
    assert (debug.steps, debug.batch, debug.warmup) == (2, 8, 2)
    assert scaled(Optimiser(steps=1000, batch=512), CARD).batch == 512


def test_a_card_trains_the_network_of_base() -> None:
    assert (CARD.width, CARD.layers, CARD.heads, CARD.channels) == (BASE.width, BASE.layers, BASE.heads, BASE.channels)
