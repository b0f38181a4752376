"""A LeRobot dataset again, with every action given to another row: what trains a model that cannot listen.

    python scripts/shuffled_actions.py data/experts --out data/shuffled
    presage train --system reference --start-from src/presage/checkpoints/reference --only near --steps 250 \\
        --data data/shuffled --out runs/shuffled

The control of the gate: frames, states and how actions are distributed stay as they are. Files of videos are linked.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import tyro
from tyro.conf import Positional


def main(data: Positional[Path], out: Path, seed: int = 0) -> None:
    shutil.copytree(
        data, out, copy_function=lambda a, b: os.link(a, b) if str(a).endswith(".mp4") else shutil.copy2(a, b)
    )
    files = sorted((out / "data").rglob("*.parquet"))
    tables = [pq.read_table(file) for file in files]
    actions = [t.column("action").combine_chunks() for t in tables]
    rng = np.random.default_rng(seed)
    for file, table, action in zip(files, tables, actions, strict=True):
        mixed = action.take(rng.permutation(len(action)))
        pq.write_table(table.set_column(table.schema.get_field_index("action"), "action", mixed), file)


if __name__ == "__main__":
    tyro.cli(main)
