"""Instructions through UMT5, Wan 2.1's text encoder.

The published model looks at 512 text tokens, zeros behind the sentence included, and gives every zero the same weight.
A robot's instruction has a dozen, so the sentence and a single zero are kept: attention to that zero is weighted by how
many it stands for (`networks/wan.py`), which is the same sum. The encoder (5.7 billion parameters in the published
folder) stays on the CPU in bf16, is loaded at the first instruction that was not seen before, and is never trained.
"""

import html
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from presage.errors import UserError


class WanText:
    """Instructions -> (N, tokens, E) float32, zeros behind the sentence.

    Args:
        folder: a diffusers folder with `tokenizer/` and `text_encoder/`.
        tokens: room for a sentence, its end mark and at least one zero.
    """

    def __init__(self, folder: Path, tokens: int) -> None:
        self.folder, self.tokens = folder, tokens
        self._known: dict[str, Tensor] = {}
        self._loaded: tuple[Any, Any] | None = None

    def embed(self, texts: list[str]) -> Tensor:
        """Embed instructions.

        Raises:
            UserError: an instruction is empty or too long, or the encoder cannot be loaded.
        """
        for text in texts:
            if text not in self._known:
                self._known[text] = self._embed_one(text)
        return torch.stack([self._known[text] for text in texts])

    @torch.inference_mode()
    def _embed_one(self, text: str) -> Tensor:
        cleaned = " ".join(html.unescape(html.unescape(text)).split())
        if not cleaned:
            raise UserError("an instruction is empty: give one sentence that says what the robot should do")
        tokenizer, encoder = self._load()
        ids = tokenizer(cleaned, return_tensors="pt").input_ids
        if ids.shape[1] >= self.tokens:
            raise UserError(
                f"the instruction {cleaned[:40]!r}... has {ids.shape[1]} tokens: at most {self.tokens - 1} fit"
            )
        states = encoder(ids).last_hidden_state[0].float()
        return torch.cat([states, states.new_zeros(self.tokens - len(states), states.shape[1])])

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoTokenizer, UMT5EncoderModel

            try:
                tokenizer = AutoTokenizer.from_pretrained(self.folder / "tokenizer", local_files_only=True)
                encoder = UMT5EncoderModel.from_pretrained(
                    self.folder / "text_encoder", dtype=torch.bfloat16, local_files_only=True
                )
            except (OSError, ValueError) as error:
                first = str(error).splitlines()[0]
                raise UserError(f"{self.folder}: tokenizer/ or text_encoder/ cannot be loaded ({first})") from None
            self._loaded = tokenizer, encoder.eval()
        return self._loaded
