"""Paradigm 1, the model as a simulator: `environment.py` (the dream as a gymnasium environment), `evaluation.py`,
`planning.py`, `synthesis.py`; `success.py` decides when a dream has succeeded."""
