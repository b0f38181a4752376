"""A raw stream <-> its latent: images (`image.py`, `pixels.py`), actions and states (`scalars.py`), text
(`text.py`)."""
