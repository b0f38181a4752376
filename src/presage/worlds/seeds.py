"""Whose episode seeds are whose. An episode follows from its task and seed, so what one range teaches no other
judges."""

FIRST_CALIBRATION_SEED = 590_000
"""Of the episodes that success thresholds are calibrated on (`simulator/success.py`); those of evaluation lie below."""
FIRST_TRAINING_SEED = 600_000
"""Of recorded episodes (`collect.py`)."""
FIRST_DREAM_SEED = 1_000_000_000
"""Of first frames of dreams that are written as training data; recorded episodes stay far below."""
