"""Whose episode seeds are whose. An episode follows from its task and seed, so what one range teaches no other
judges."""

from presage.errors import UserError

FIRST_CALIBRATION_SEED = 590_000
"""Of the episodes that success thresholds are calibrated on (`simulator/success.py`); those of evaluation lie below."""
FIRST_TUNING_SEED = 595_000
"""Of scenes on which checkpoints and settings of a video model are chosen; those of evaluation never are."""
FIRST_READER_SEED = 597_000
"""Of frames that the readers of poses learn from (`simulator/frames`)."""
FIRST_TRAINING_SEED = 600_000
"""Of recorded episodes (`collect.py`)."""
FIRST_DREAM_SEED = 1_000_000_000
"""Of first frames of dreams that are written as training data; recorded episodes stay far below."""
SEEDS_PER_BENCH_SEED = 1_000
"""Episodes that belong to one `--seed`."""


def evaluation_seeds(seed: int, count: int) -> list[int]:
    """`count` episode seeds that belong to `--seed`, all below those that are kept for calibration and training.

    Raises:
        UserError: there are no such seeds.
    """
    first = seed * SEEDS_PER_BENCH_SEED
    if seed < 0 or count > SEEDS_PER_BENCH_SEED or first + count > FIRST_CALIBRATION_SEED:
        raise UserError(
            f"--seed {seed} with {count} episodes a task: seeds from {FIRST_CALIBRATION_SEED} on are kept "
            "for calibration "
            f"and training; choose 0 to {FIRST_CALIBRATION_SEED // SEEDS_PER_BENCH_SEED - 1} and at most "
            f"{SEEDS_PER_BENCH_SEED} episodes"
        )
    return list(range(first, first + count))
