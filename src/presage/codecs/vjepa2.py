"""The published encoder of V-JEPA 2 (Assran et al. 2025) as a codec: frozen, one way, the same `encode` as the lab's
own (`codecs/features.py`).

A model step shows one frame, which is repeated to fill the encoder's tubelet: so the paper's planner encodes single
pictures too (section 3.1).

Shapes: B pictures, S pixels a side, P patches of the encoder, D its width, T = P / merge^2 tokens of C = merge^2 * D.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presage.codecs.features import merged
from presage.device import autocast
from presage.errors import UserError

if TYPE_CHECKING:
    from transformers import VJEPA2Model

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colours that it was trained with"""
_AT_ONCE = 16


class VJEPA2Codec(nn.Module):
    """Pictures (B, S, S, 3) uint8 -> tokens (B, T, C) of layer-normed features.

    merge: patches a side that make one token.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: "VJEPA2Model", merge: int = 1) -> None:
        super().__init__()
        self.model, self.merge = model.requires_grad_(False).eval(), merge
        self.size, self.frames = int(model.config.crop_size), int(model.config.tubelet_size)
        self.grid = self.size // int(model.config.patch_size)
        if self.grid % merge:
            raise ValueError(f"{self.grid} patches a side cannot be merged by {merge}")
        self.tokens, self.token_dim = (self.grid // merge) ** 2, merge**2 * int(model.config.hidden_size)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))

    @torch.inference_mode()
    def encode(self, images_BHWC: Tensor) -> Tensor:
        return torch.cat([self._encode(part) for part in images_BHWC.split(_AT_ONCE)])

    def _encode(self, images_BHWC: Tensor) -> Tensor:
        x = images_BHWC.permute(0, 3, 1, 2).float() / 255
        x = F.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True)
        clip = ((x - self.mean) / self.std)[:, None].expand(-1, self.frames, -1, -1, -1)
        with autocast(x.device):
            features = self.model(pixel_values_videos=clip, skip_predictor=True).last_hidden_state
        return merged(F.layer_norm(features.float(), features.shape[-1:]), self.merge)

    def decode(self, tokens_BTC: Tensor) -> Tensor:
        raise ValueError("features of a frozen encoder hold no picture: train a codec with a decoder to see something")


def load_vjepa2(folder: Path, merge: int = 1) -> VJEPA2Codec:
    """A checkpoint that was saved by Transformers, such as facebook/vjepa2-vitl-fpc64-256 downloaded to a folder.

    Raises:
        UserError: Transformers is not installed, or the folder holds no such model.
    """
    try:
        from transformers import VJEPA2Model
    except ImportError:
        raise UserError("V-JEPA 2 needs Transformers: type pip install -c constraints.txt -e '.[wan]'") from None
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json; download the folder of a V-JEPA 2 checkpoint whole")
    try:
        model = VJEPA2Model.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: Transformers cannot read it as V-JEPA 2 ({str(error).splitlines()[0]})") from None
    return VJEPA2Codec(model, merge)
