"""A random backbone in the published format: what tests and benches load where the published weights are not at hand.

The same classes write it that write the published folders, so the code that loads it is the code that loads those.
"""

import json
from pathlib import Path
from typing import Any

import torch

TINY: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 16,
    "freq_dim": 32,
    "ffn_dim": 48,
    "num_layers": 2,
}
"""Arguments of WanTransformer3DModel."""
TINY_IMAGE = TINY | {"in_channels": 36, "image_dim": 20, "added_kv_proj_dim": 24}
VAE: dict[str, Any] = {"base_dim": 8, "z_dim": 16, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
_WORDS = (
    "open close the a drawer door window press button push puck reach goal to and slowly robot arm pick place up"
).split()


def write_random_backbone(folder: Path, shape: dict[str, Any] = TINY, seed: int = 0) -> Path:
    """Write `transformer/`, `vae/`, `text_encoder/`, `tokenizer/`, `scheduler/` and `model_index.json`."""
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    torch.manual_seed(seed)
    WanTransformer3DModel(**shape).save_pretrained(folder / "transformer")
    AutoencoderKLWan(**VAE).save_pretrained(folder / "vae")
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *_WORDS])}
    text = UMT5Config(
        vocab_size=len(vocabulary),
        d_model=shape["text_dim"],
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    UMT5EncoderModel(text).save_pretrained(folder / "text_encoder")
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    tokenizer.save_pretrained(folder / "tokenizer")
    UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
    ).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "WanPipeline",
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLWan"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))
    return folder
