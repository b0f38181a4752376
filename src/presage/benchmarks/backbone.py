"""Is a published backbone behind the session what it was published as, and is its cache right?

Everything is measured on a random model of the published classes, written to disk in the published format and loaded by
the code that loads the published weights: agreement and causality do not depend on what the weights know. Speed is
measured on a GPU alone, in the published 1.3B shape.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from presage.benchmarks.cache import as_history, full_precision, largest_difference, random_block
from presage.benchmarks.common import BenchArgs
from presage.benchmarks.training import linear_rate, random_rows
from presage.codecs.scalars import ScalarCodec
from presage.codecs.wan_vae import WanCodec
from presage.device import autocast
from presage.networks.published import BACKBONES, wan_extra
from presage.networks.random_wan import VAE, write_random_backbone
from presage.networks.wan import TEXT_LENGTH, TIME, WanNetwork
from presage.networks.wan_model import WanModelConfig, WanWorldModel, open_wan, wan_config
from presage.networks.world_model import WorldModelConfig
from presage.timeline.backbone import Tap
from presage.timeline.levels import Schedule
from presage.timeline.memory import Memory
from presage.timeline.session import Session
from presage.training.batch import Batch, weighted
from presage.training.checkpoint import load_model, save_model
from presage.training.data import make_batch
from presage.training.loop import make_optimizer
from presage.training.reference import REFERENCE_WEIGHTS, TrainConfig, reference_objective

INSTRUCTIONS = ["open the drawer", "push the puck to the goal"]
LORA = 4
GPU_SIZE = 256
"""Pixels a side of the speed measurement: 256 tokens a camera and block."""


def run(args: BenchArgs) -> dict[str, Any]:
    """`published_difference` from diffusers' own forward pass; `max_abs_difference` of cached and recomputed sessions
    over 50 blocks, eviction included; `future_leak`, the largest change of past outputs when the future changes; the
    loss on one batch before and after one step; `round_trip_difference` of a session after saving and loading.

    On a GPU also decisions, trained tokens and the share of a bf16 matrix product's speed, in the 1.3B shape.
    """
    with wan_extra(), tempfile.TemporaryDirectory() as folder, full_precision():
        backbone = write_random_backbone(Path(folder) / "backbone", seed=args.seed)
        model = open_random(backbone, LORA, args)
        figures: dict[str, Any] = {
            # All weights trained: those are loaded in fp32 on every device.
            "published_difference": published_difference(open_random(backbone, None, args), backbone, args.seed),
            "max_abs_difference": largest_difference(model, 8 if args.quick else 50, args.seed),
            "future_leak": future_leak(model, args.seed),
        }
        for name, lora in (("lora", LORA), ("full", None)):
            before, after = one_step(open_random(backbone, lora, args), args.seed)
            figures |= {f"loss_before_{name}": before, f"loss_after_{name}": after}
            trained = open_random(backbone, lora, args)
            loaded = load_model(save_model(trained, Path(folder) / name, "a random backbone"), args.device)
            figures[f"round_trip_difference_{name}"] = difference_of_dreams(trained, loaded.float(), args.seed)
    if args.device.type == "cuda":
        figures |= speed(args)
    return figures


def open_random(backbone: Path, lora: int | None, args: BenchArgs) -> WanWorldModel:
    """The backbone in fp32 for Meta-World's robot, its added weights drawn so that everything depends on everything."""
    torch.manual_seed(args.seed)
    model = open_wan(wan_config(backbone, WorldModelConfig(), 32, lora), *_codecs(), args.device).float()
    awaken(model.network)
    return model


def awaken(network: torch.nn.Module) -> None:
    """Give a fresh network's zero-initialised weights values, or a wrong cache of added streams would not show."""
    assert isinstance(network, WanNetwork)
    torch.nn.init.normal_(network.gates)
    for output in network.outputs.values():
        assert isinstance(output, torch.nn.Linear)
        torch.nn.init.normal_(output.weight, std=0.2)


@torch.no_grad()
def published_difference(model: WanWorldModel, backbone: Path, seed: int) -> float:
    """From diffusers' forward pass, on a whole clip of text-to-video."""
    from diffusers import WanTransformer3DModel

    published = WanTransformer3DModel.from_pretrained(backbone / "transformer").to(model.device)
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(2, 16, 5, 8, 8, generator=generator).to(model.device)
    level = torch.rand(2, generator=generator).to(model.device)
    text = model.embed_text(INSTRUCTIONS)
    padded = torch.cat([text, text.new_zeros(2, TEXT_LENGTH - text.shape[1], text.shape[2])], 1)
    expected = published(latents, level * TIME, padded, return_dict=False)[0]
    assert isinstance(model.network, WanNetwork)
    return float((model.network.clip_velocity(latents, level, text) - expected).abs().max())


def future_leak(model: WanWorldModel, seed: int) -> float:
    """Largest change of the hidden states, keys and values of blocks 0 to 2 when block 3 is another, in one pass over
    all. The pass has no cache: what could leak is what the mask lets through."""
    generator = torch.Generator().manual_seed(seed)
    blocks = [random_block(model, generator, first=i == 0) for i in range(4)]
    other = [*blocks[:3], random_block(model, generator, first=False)]
    return max(
        float((a - b).abs().max()) for a, b in zip(_one_pass(model, blocks), _one_pass(model, other), strict=True)
    )


@torch.no_grad()
def _one_pass(model: WanWorldModel, blocks: list[dict[str, Tensor]]) -> tuple[Tensor, ...]:
    """Hidden states, keys and values of all blocks but the last."""
    condition = model.condition(INSTRUCTIONS[:1])
    history = as_history(model, list(enumerate(blocks)))
    seen = model.backbone([history], Memory(), condition, Tap()).features
    assert seen is not None
    memory = model.backbone([history], Memory(), condition).memory.truncate(len(blocks) - 1)
    return *[x[:, :-1] for x in seen[0].values()], *[x for entry in memory for x in entry.kept.values()]


def one_step(model: WanWorldModel, seed: int) -> tuple[float, float]:
    """Loss on one batch before and after one step on it, with the same levels and noise."""
    batch = _batch(model, seed, 2)

    def loss() -> Tensor:
        return weighted(reference_objective()(model, batch, torch.Generator().manual_seed(seed)), REFERENCE_WEIGHTS)

    optimizer = make_optimizer(model.network, TrainConfig(lr=1e-3))
    before = loss()
    before.backward()
    optimizer.step()
    with torch.no_grad():
        return before.item(), loss().item()


def _batch(model: WanWorldModel, seed: int, windows: int) -> Batch:
    rows = random_rows(model, 20 * windows, seed)
    rows = replace(rows, text=model.embed_text(INSTRUCTIONS).cpu().numpy(), instruction=rows.instruction % 2)
    index = np.arange(windows)[:, None] * 20 + np.arange(TrainConfig().window)
    return make_batch(rows, model, index, np.ones(index.shape, bool)).to(model.device)


def difference_of_dreams(a: torch.nn.Module, b: torch.nn.Module, seed: int) -> float:
    """Largest difference of what two models imagine from the same past and noise."""
    dreams = []
    for model in (a, b):
        assert isinstance(model, WanWorldModel)
        session = Session(model, INSTRUCTIONS[:1], seed=seed)
        session.append(random_block(model, torch.Generator().manual_seed(seed), first=True))
        dreams.append(session.imagine(Schedule.joint(2)).values)
    return max(float((dreams[0][name] - dreams[1][name]).abs().max()) for name in dreams[0])


def _codecs() -> tuple[ScalarCodec, ScalarCodec]:
    return ScalarCodec([0.0] * 16, [1.0] * 16), ScalarCodec([0.0] * 4, [1.0] * 4)


# -- on a GPU ---------------------------------------------------------------------------------------------------------


def speed(args: BenchArgs) -> dict[str, Any]:
    """Decisions a second (observe, then a two-step joint imagination, on tokens) and trained tokens a second (LoRA), in
    the 1.3B shape with random weights, bf16. `..._ceiling_share` is over the rate of a bf16 linear layer of its width.
    """
    model = published_shape(args)
    repeats = 3 if args.quick else 20
    ceiling = linear_rate(args.device, torch.bfloat16, args.quick, (8192, model.config.width, 4 * model.config.width))
    session = Session(model, INSTRUCTIONS[:1], seed=args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    blocks = [random_block(model, generator, first=i == 0) for i in range(model.config.window + 3)]
    for block in blocks:
        session.append(block)

    def decide() -> None:
        session.append(blocks[-1])
        session.imagine(Schedule.joint(2))

    def step() -> None:
        with autocast(args.device):
            terms = reference_objective()(model, batch, torch.Generator().manual_seed(args.seed))
        weighted(terms, REFERENCE_WEIGHTS).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    decision_s, decision_operations = _timed(decide, repeats)
    batch, optimizer = _batch(model, args.seed, 4), make_optimizer(model.network, TrainConfig())
    tokens: list[int] = []
    hook = model.network.register_forward_pre_hook(
        lambda _, inputs: tokens.append(inputs[0].shape[0] * inputs[0].shape[1])
    )
    step_s, step_operations = _timed(step, repeats)
    hook.remove()
    return {
        "chunks_per_s": 1 / decision_s,
        "chunk_ceiling_share": decision_operations / decision_s / ceiling,
        "train_tokens_per_s": tokens[-1] / step_s,
        "train_ceiling_share": step_operations / step_s / ceiling,
        "linear_tflops_bf16": ceiling / 1e12,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "pixels": GPU_SIZE,
        "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30,
    }


def published_shape(args: BenchArgs) -> WanWorldModel:
    """The 1.3B transformer with random weights, frozen in bf16, with LoRA; a tiny autoencoder and random text."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    torch.manual_seed(args.seed)
    with args.device:
        transformer = WanTransformer3DModel(**BACKBONES[0].transformer).to(torch.bfloat16)
    shape = transformer.config
    width = shape.num_attention_heads * shape.attention_head_dim
    config = WanModelConfig(width=width, layers=shape.num_layers, heads=shape.num_attention_heads)
    config = replace(config, codec=replace(config.codec, size=GPU_SIZE))
    words = torch.randn(len(INSTRUCTIONS), config.text_tokens, shape.text_dim)
    words[:, 16:] = 0
    codec = WanCodec(config.codec, AutoencoderKLWan(**VAE))
    model = WanWorldModel(config, *_codecs(), transformer, codec, lambda texts: words[: len(texts)]).to(args.device)
    return model.eval()


def _timed(call: Any, repeats: int) -> tuple[float, int]:
    """Seconds of one call, after a warm-up, and its floating point operations."""
    with FlopCounterMode(display=False) as counter:
        call()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats, counter.get_total_flops()
