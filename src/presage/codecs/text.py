"""Instructions as vectors, offline, for any wording.

Why mean-pooled WordLlama token vectors (256 numbers; Miller 2024, MIT): the weights lie inside the wheel, so nothing is
downloaded; every word of English has a vector, so an unseen paraphrase lands near the seen one (a hash or a table of
known sentences cannot do that); and a sentence costs microseconds. A sentence encoder of the MiniLM class is 90 MB and
wants transformers. The price: word order is ignored, which short robot instructions survive.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from presage.errors import UserError

TEXT_DIM = 256
REMEMBERED = 1_000
"""Characters of the longest instruction that is remembered: a server must not keep whatever strangers send."""


@lru_cache(maxsize=1)
def _tables() -> tuple[object, np.ndarray]:
    """Tokenizer and token vectors (vocabulary, 256). Read from the wheel's files: its own loader asks the network."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    spec = find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise UserError("text needs the package wordllama: pip install wordllama")
    root = Path(spec.origin).parent
    tokenizer = Tokenizer.from_file(str(root / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    weights = load_file(str(root / "weights" / "l2_supercat_256.safetensors"))["embedding.weight"]
    return tokenizer, weights.astype(np.float32)


@lru_cache(maxsize=4096)
def _embed_short(text: str) -> np.ndarray:
    return _embed_one(text)


def _embed_one(text: str) -> np.ndarray:
    tokenizer, vectors = _tables()
    ids = tokenizer.encode(text.strip().lower(), add_special_tokens=False).ids  # type: ignore[attr-defined]
    mean = vectors[ids].mean(0)
    return mean / np.linalg.norm(mean) * np.sqrt(TEXT_DIM)


def embed_text(texts: list[str]) -> np.ndarray:
    """Embed instructions: (N, 256) float32 of unit variance per entry.

    Raises:
        UserError: an instruction is empty.
    """
    for text in texts:
        if not text.strip():
            raise UserError("an instruction is empty: give one sentence that says what the robot should do")
    return np.stack([_embed_short(text) if len(text) <= REMEMBERED else _embed_one(text) for text in texts]).astype(
        np.float32
    )


def embed_said(texts: list[str]) -> np.ndarray:
    """(N, TEXT_DIM) as `embed_text`, and 0 where nobody was told anything."""
    said = np.zeros((len(texts), TEXT_DIM), np.float32)
    for row, words in enumerate(texts):
        if words.strip():
            said[row] = embed_text([words])[0]
    return said
