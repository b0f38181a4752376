"""The state of a run on disk, so that a training killed at any moment goes on to the same numbers.

Every random draw of step n comes from a generator seeded by (seed, n): there is no generator state to save, only the
weights, their moving average, the optimizer's moments and the position in the data. And what all of it was made from: a
state is gone on with from the same, or not at all (fingerprint.py).
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from presage.errors import UserError
from presage.training.checkpoint import read_weights, write_weights
from presage.training.fingerprint import Fingerprint, from_text, require_same, to_text

STATE = "state.safetensors"


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))


def save_state(
    folder: Path,
    model: nn.Module,
    ema: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    run: dict[str, Any],
    made_from: Fingerprint,
) -> None:
    """Write `state.safetensors` under a temporary name, then rename it into place. `run` is what else a run must
    remember, as JSON: its `step`, the `seconds` trained, where the draw of the data stands. Frozen weights are not
    written: they come from where the model came from."""
    frozen = _frozen(model)
    tensors = {f"model.{k}": v for k, v in model.state_dict().items() if k not in frozen}
    tensors |= {f"ema.{k}": v for k, v in ema.items()}
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{STATE}.partial"
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    write_weights(tensors, temporary, {"run": json.dumps(run), "made_from": to_text(made_from)})
    os.replace(temporary, folder / STATE)


def load_state(
    folder: Path, model: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer, made_from: Fingerprint
) -> dict[str, Any]:
    """Restore a run in place; returns its `run`, which is `{"step": 0, "seconds": 0.0}` when there is none.

    Raises:
        UserError: the state was made from something else, or is damaged.
    """
    path = folder / STATE
    if not path.exists():
        return {"step": 0, "seconds": 0.0}
    tensors, (run, made) = read_weights(path), _read_metadata(path)
    require_same(made, made_from, folder)
    try:
        model.load_state_dict(_frozen(model) | {k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise UserError(f"{path} is of another model ({first}): give the run another --out") from None
    for k in ema:
        ema[k].copy_(tensors[f"ema.{k}"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return run


def _frozen(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}


def require_same_run(out: Path, made_from: Fingerprint) -> None:
    """Before hours are spent: what all stages of a run have in common is the same in every state in folders of `out`.

    Raises:
        UserError: it is not.
    """
    for path in sorted(out.glob(f"*/{STATE}")):
        _, made = _read_metadata(path)
        require_same({name: made[name] for name in made if name in made_from}, made_from, out)


def read_run(folder: Path) -> dict[str, Any]:
    """The `run` of a state, empty where there is none."""
    path = folder / STATE
    return _read_metadata(path)[0] if path.exists() else {}


def _read_metadata(path: Path) -> tuple[dict[str, Any], Fingerprint]:
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as f:
            metadata = f.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is truncated or damaged ({error}): remove {path.parent}") from None
    return json.loads(metadata.get("run", "{}")), from_text(metadata.get("made_from"), path)


def truncate_log(path: Path, step: int) -> None:
    """Drop lines of a JSONL log past `step`: a resumed run will write them again."""
    if path.exists():
        kept = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
        path.write_text("".join(line + "\n" for line in kept))


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError):  # the last line of a killed run may be half written
        return float("inf")
