"""Paradigm 2, the model as the policy: `joint.py`, `closed_loop.py`, `open_loop.py`, `representation.py`.

`grounded.py` is what they share: observe the truth, decide, execute.
"""
