"""Which device and which arithmetic: one place, so that the CPU and GPU paths stay one code."""

import contextlib
import os
from collections.abc import Iterator

import torch

FP32_VARIABLE = "PRESAGE_FP32"
"""Environment variable; when it is not empty everything is computed in fp32, so that machines can be compared exactly.
"""


EAGER_VARIABLE = "PRESAGE_EAGER"
"""Environment variable; when it is not empty nothing is compiled."""


def default_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the hardware multiplies it faster than fp32, else fp32.

    A CPU with AMX runs bf16 linear layers about nine times faster than fp32, one with AVX512-BF16 two to three times;
    one without either runs them at half the speed of fp32, so asking for bf16 everywhere would halve the speed of most
    laptops.
    """
    if os.environ.get(FP32_VARIABLE):
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16
    return torch.bfloat16 if multiplies_bf16() else torch.float32


def sent(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`x` on a device. What goes to a card does not wait for what the card still computes."""
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def quicken(network: torch.nn.Module, backend: str = "inductor") -> None:
    """Compile the blocks that a network repeats, in place, and let its convolutions choose their kernels by trying.

    What cannot be compiled runs as it is written; with the variable PRESAGE_EAGER everything does.
    """
    if os.environ.get(EAGER_VARIABLE):
        return
    import torch._dynamo

    torch._dynamo.config.suppress_errors = True
    torch.backends.cudnn.benchmark = True
    for blocks in (m for m in network.modules() if isinstance(m, torch.nn.ModuleList)):
        for block in blocks:
            if not isinstance(block, torch.nn.ModuleList) and next(block.children(), None) is not None:
                block.compile(backend=backend)


def multiplies_bf16() -> bool:
    """Whether the CPU multiplies bf16 matrices in hardware; False where torch is too old to say (2.10 is)."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is None:
        return False
    able = ask()
    return bool(able.get("amx_bf16", False) or able.get("avx512_bf16", False))


@contextlib.contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """Autocast to `compute_dtype(device)`; nothing at all when that is fp32."""
    dtype = compute_dtype(device)
    with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
        yield
