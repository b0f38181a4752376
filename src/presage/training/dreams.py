"""Dreams as training data: a world model that only ever saw true frames does not know its own mistakes.

Recorded episodes are dreamed again from their first frame with the actions that were executed. Training then shows a
dreamed frame in the place of the true one and still asks for the true next frame (Venkatraman et al. 2015, "Improving
multi-step prediction of learned time series models"): the model learns to come back to the truth instead of drifting.
States are given to the dream as they were: a frame that has lost the arm finds it where the state says, whereas a state
that has drifted cannot be told the way back.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from presage.networks.base import next_values
from presage.networks.names import STATE, VIDEO
from presage.networks.world_model import WorldModel
from presage.timeline.session import Session
from presage.training.data import Dreams, Rows, frames_of
from presage.training.fingerprint import Fingerprint, entry, from_text, require_same, to_text

BATCH = 64


def dream_rows(model: WorldModel, rows: Rows, every: int, folder: Path, made_from: Fingerprint, seed: int = 0) -> Rows:
    """`rows` with a dream of every so many-th episode, kept in `folder`; a folder that is whole is read again.

    Deterministic in `seed`. A dream starts from a true frame, so the first row of an episode has none, and it ends at
    the first action that was not recorded.

    made_from: all that the dreams follow from, except `every` and `seed`.

    Raises:
        UserError: `folder` holds dreams that were made from something else.
    """
    files, note = [folder / f"{name}.npy" for name in ("latents", "known")], folder / "made_from.json"
    made = made_from | of_dreams(every, seed)
    if files[-1].exists():
        require_same(from_text(note.read_text() if note.exists() else None, files[-1]), made, folder)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(to_text(made))
        _dream_into(model, rows, every, files, seed)
    latents, known = (np.load(file, mmap_mode="r") for file in files)
    return replace(rows, dreams=Dreams(latents, known))


def of_dreams(every: int, seed: int = 0) -> Fingerprint:
    """What decides dreams, beside the model and the rows."""
    return {
        "dreams.every": entry("dreams of every so many-th episode", every),
        "dreams.seed": entry("seed of dreams", seed),
    }


def _dream_into(model: WorldModel, rows: Rows, every: int, files: list[Path], seed: int) -> None:
    create = np.lib.format.open_memmap  # sparse: what is never dreamed takes no room
    latents = create(files[0], "w+", np.float16, rows.latents.shape)
    known = np.zeros(len(latents), bool)
    episodes = np.arange(len(rows.length))[::every]
    episodes = episodes[np.argsort(rows.length[episodes], kind="stable")]  # those of one batch are about as long
    groups = [episodes[i : i + BATCH] for i in range(0, len(episodes), BATCH)]
    for number, group in enumerate(tqdm(groups, desc="dream again", unit="batch")):
        start, length = rows.start[group], rows.length[group]
        text = torch.from_numpy(rows.text[rows.instruction[start]]).to(model.device)
        session = Session(model, text, quality=float("nan"), seed=seed + number)
        first = frames_of(rows.latents, rows.state, model, start[:, None])
        session.append({name: x[:, 0].to(model.device) for name, x in first.items()})
        alive = np.ones(len(group), bool)
        for t in range(1, int(length.max())):
            executed = np.minimum(start + t - 1, start + length - 1)
            action, state = torch.from_numpy(rows.action[executed])[:, None].to(model.device), None
            if STATE in first:
                reached = rows.state[np.minimum(start + t, start + length - 1)]
                state = torch.from_numpy(reached)[:, None].to(model.device)
            block = session.append(next_values(session, action, state), imagined=True)
            alive &= rows.action_valid[executed]  # what follows an action that nobody knows is another dream
            going = (t < length) & alive
            row = (start + t)[going]
            for i, camera in enumerate(model.config.cameras):
                latents[row, i] = block.values[f"{VIDEO}.{camera}"].cpu().numpy()[going]
            known[row] = True
    latents.flush()
    partial = files[1].with_suffix(".partial.npy")
    np.save(partial, known)
    os.replace(partial, files[1])  # last and at once: it says that the others are whole
