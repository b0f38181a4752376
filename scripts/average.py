"""A checkpoint whose weights are the mean of several, trained from the same ones (Wortsman et al. 2022, Model soups):

    python scripts/average.py runs/short/model runs/long/model --out runs/mean

Everything else is the last one's: config.json, card and what it was trained on.
"""

import sys
from pathlib import Path

import torch
import tyro
from safetensors.torch import load_file
from tyro.conf import Positional

from presage.errors import UserError
from presage.training.checkpoint import WEIGHTS, read_config, write_folder


def main(checkpoints: Positional[list[Path]], out: Path) -> None:
    last = checkpoints[-1]
    for folder in checkpoints:
        if not (folder / WEIGHTS).exists():
            raise UserError(f"{folder}: no checkpoint is there; name a folder that holds {WEIGHTS}")
    given = [load_file(folder / WEIGHTS) for folder in checkpoints]
    shapes = [{name: x.shape for name, x in weights.items()} for weights in given]
    for folder, other in zip(checkpoints, shapes, strict=True):
        if other != shapes[-1]:
            raise UserError(f"{folder}: other weights than {last}; average checkpoints of one recipe")
    mean = {name: torch.stack([w[name].float() for w in given]).mean(0).to(x.dtype) for name, x in given[-1].items()}
    write_folder(out, read_config(last), {WEIGHTS: mean}, (last / "card.md").read_text())


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
