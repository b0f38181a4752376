"""Fitting: data as tokens (`data.py`), the loss (`losses.py`), the loop (`loop.py`), the codec (`codec.py`), files
(`checkpoint.py`, `resume.py`)."""
