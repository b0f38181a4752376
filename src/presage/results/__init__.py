"""What is kept of a run: what repeats it (`provenance.py`), its figures, episodes and films (`record.py`, `tables.py`,
`clips.py`), how they are written and shown (`output.py`), and how they are read back (`runs.py`)."""
