"""Where truth comes from: simulators as gymnasium vector environments, scripted experts and disturbances."""

from presage.worlds.instructions import ALL_TASKS, MT10, draw_instruction, instructions

MT50 = ALL_TASKS

__all__ = ["ALL_TASKS", "MT10", "MT50", "draw_instruction", "instructions"]
