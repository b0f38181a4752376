"""Pictures of rows, picked where they lie: joined data sets and chosen episodes are no copies of their frames."""

from collections.abc import Sequence

import numpy as np


class Pictures:
    """(R, ...) rows of several arrays, maps of files among them, in any order and any number of times.

    What is read from it is a new array. A copy of all may not fit into memory beside the arrays.
    """

    def __init__(self, parts: Sequence[np.ndarray], rows: np.ndarray | None = None):
        """rows: (R,) numbers of rows of the parts, which lie one behind the other; None: each of them once."""
        self.parts = tuple(parts)
        self.ends = np.cumsum([len(part) for part in self.parts])
        self.rows = np.arange(self.ends[-1]) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.parts[0].dtype

    @property
    def nbytes(self) -> int:
        """Of a copy."""
        return len(self.rows) * self.parts[0][:1].nbytes

    def __getitem__(self, key: slice | np.ndarray | int) -> np.ndarray:
        """Of the rows that `key` picks, an array or a slice of any shape: (*key, ...)."""
        rows = np.asarray(self.rows[key])
        part = np.searchsorted(self.ends, rows, side="right")
        found = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
        for i in np.unique(part):
            mine, pictures = part == i, self.parts[i]
            found[mine] = pictures[rows[mine] - (self.ends[i] - len(pictures))]
        return found

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


Seen = np.ndarray | Pictures
"""(R, ...) what a camera saw, or its latents"""


def picked(seen: Seen, rows: np.ndarray) -> Pictures:
    """Rows (M,) of it."""
    return Pictures(seen.parts, seen.rows[rows]) if isinstance(seen, Pictures) else Pictures([seen], rows)


def behind(every: Sequence[Seen]) -> Pictures:
    """One behind the other."""
    pictures = [seen if isinstance(seen, Pictures) else Pictures([seen]) for seen in every]
    first = np.cumsum([0, *[one.ends[-1] for one in pictures]])
    rows = np.concatenate([one.rows + at for one, at in zip(pictures, first)])
    return Pictures([part for one in pictures for part in one.parts], rows)
