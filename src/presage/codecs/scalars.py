"""Actions and proprioception: affine maps to roughly [-1, 1], from quantiles so that one outlier cannot squash a column."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ScalarCodec:
    """`encode(x) = (x - center) / scale`, per entry. Lists, so that it lives in a checkpoint's config.json."""

    center: list[float]
    scale: list[float]

    @staticmethod
    def fit(values: np.ndarray, low: float = 0.01, high: float = 0.99) -> "ScalarCodec":
        """Fit on (N, D): the `low` and `high` quantiles map to -1 and 1. A constant column gets scale 1."""
        q_low, q_high = np.quantile(values, [low, high], axis=0)
        scale = (q_high - q_low) / 2
        scale = np.where(scale < 1e-6, 1.0, scale)
        return ScalarCodec(((q_low + q_high) / 2).astype(float).tolist(), scale.astype(float).tolist())

    def encode(self, values: np.ndarray) -> np.ndarray:
        """(..., D) raw -> (..., D) float32 normalised."""
        return ((values - np.asarray(self.center)) / np.asarray(self.scale)).astype(np.float32)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """(..., D) normalised -> (..., D) float32 raw."""
        return (codes * np.asarray(self.scale) + np.asarray(self.center)).astype(np.float32)
