"""Fitting: stages (`stage.py`) of objectives (`objectives/`) on batches (`batch.py`, `data.py`, `recorded.py`), the one
loop (`loop.py`), what a state was made from (`fingerprint.py`), files (`checkpoint.py`, `resume.py`)."""
