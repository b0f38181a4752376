"""The published encoder of V-JEPA 2, tiny and with random weights."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import VJEPA2Config, VJEPA2Model

from presage.codecs.vjepa2 import VJEPA2Codec, load_vjepa2
from presage.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 2}  # 24 / 2 numbers for three axes
    predictor = {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    path = tmp_path_factory.mktemp("vjepa2")
    VJEPA2Model(VJEPA2Config(patch_size=8, crop_size=32, frames_per_clip=2, **sizes, **predictor)).save_pretrained(path)
    return path


def pictures(size: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 255, (3, size, size, 3), np.uint8))


def test_a_checkpoint_of_transformers_encodes_pictures_of_any_size(folder: Path) -> None:
    codec = load_vjepa2(folder, merge=2)
    tokens = codec.encode(pictures(64))
    assert tokens.shape == (3, codec.tokens, codec.token_dim) == (3, 4, 96)
    patches = tokens.unflatten(2, (24, 4))
    torch.testing.assert_close(patches.mean(2), torch.zeros(3, 4, 4), atol=1e-5, rtol=0)
    assert not torch.allclose(tokens[0], tokens[1])


def test_features_are_those_of_the_class_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESAGE_FP32", "1")
    model = VJEPA2Model.from_pretrained(folder).eval()
    images = pictures(32)
    clip = (images.permute(0, 3, 1, 2).float() / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / (
        torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    )
    with torch.inference_mode():
        own = model.get_vision_features(clip[:, None].repeat(1, 2, 1, 1, 1))
    expected = torch.nn.functional.layer_norm(own, (24,))
    torch.testing.assert_close(VJEPA2Codec(model).encode(images), expected, atol=1e-4, rtol=1e-4)


def test_one_line_says_what_is_missing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no config.json"):
        load_vjepa2(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot read it as V-JEPA 2"):
        load_vjepa2(tmp_path)
    with pytest.raises(ValueError, match="cannot be merged by 3"):
        load_vjepa2(folder, merge=3)
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "transformers":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="needs Transformers: type pip install"):
        load_vjepa2(folder)
