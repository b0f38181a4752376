"""A parquet column as numpy arrays, whatever kind of lists and numbers it is stored in."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from presage.episodes.features import Feature
from presage.errors import UserError


def column_values(column: pa.ChunkedArray | pa.Array, feature: Feature, where: str) -> tuple[np.ndarray, np.ndarray]:
    """(values (rows, ...), recorded (rows,)) of a column; (rows,) where the feature's shape is [1].

    Rows without a value are NaN (0, False or "" where the type has no NaN) and not recorded.

    where: begins the message of an error.

    Raises:
        UserError: the rows do not have the feature's type and shape.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # combining an empty one, or too large a one, leaves it as it is
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    recorded = np.asarray(array.is_valid())
    text = feature["dtype"] == "string"
    shape = () if text or feature["shape"] == [1] else tuple(feature["shape"])
    if pa.types.is_null(array.type):  # a column of nulls alone, which some writers store without a type
        array = array.cast(pa.string() if text else pa.from_numpy_dtype(np.dtype(feature["dtype"])))
    flat = _flatten(
        array.drop_null(), int(np.prod(shape)), f"{where} does not have shape {feature['shape']} in every row"
    )
    found = _texts(flat, where) if text else _numbers(flat, np.dtype(feature["dtype"]), where)
    missing = "" if text else np.nan if found.dtype.kind == "f" else 0
    values = np.full((len(array), *shape), missing, dtype=found.dtype)
    values[recorded] = found.reshape(-1, *shape)
    return values, recorded


def _texts(flat: pa.Array, where: str) -> np.ndarray:
    try:
        return np.array(flat.to_pylist(), dtype=str)
    except UnicodeDecodeError as error:
        raise UserError(f"{where} holds bytes that are no text; restore the file") from error


def _flatten(flat: pa.Array, size: int, complaint: str) -> pa.Array:
    """The values of rows (R,) one behind the other: `size` in each, however lists are nested."""
    rows = len(flat)
    # "datasets", once imported, turns nested lists into an extension type of its own.
    while isinstance(flat, pa.ExtensionArray) or _is_list(flat.type):
        if isinstance(flat, pa.ExtensionArray):
            flat = flat.storage
            continue
        lengths = pc.min_max(pc.list_value_length(flat)).as_py()
        if lengths["min"] != lengths["max"] or flat.null_count:  # equal sums of unequal rows would mix them up
            raise UserError(f"{complaint}; correct meta/info.json or restore the file")
        flat = flat.flatten()
    if len(flat) != rows * size:
        raise UserError(f"{complaint}; correct meta/info.json or restore the file")
    return flat.dictionary_decode() if pa.types.is_dictionary(flat.type) else flat


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _numbers(flat: pa.Array, dtype: np.dtype, where: str) -> np.ndarray:
    """As the type that info.json names, where that loses nothing but digits behind the point."""
    kind = flat.type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    ):
        raise UserError(f"{where} holds {kind}, not {dtype}; correct meta/info.json")
    if flat.null_count and dtype.kind != "f":
        raise UserError(f"{where} has nulls inside rows, which {dtype} cannot hold; correct meta/info.json")
    if pa.types.is_decimal(kind):
        flat = flat.cast(pa.float64())
    found = flat.to_numpy(zero_copy_only=False)
    if dtype.kind == "f" or found.dtype == dtype:
        return found.astype(dtype, copy=False)
    with np.errstate(invalid="ignore"):
        same = found.astype(dtype)
    if not (same == found).all():
        raise UserError(f"{where} holds numbers that {dtype} cannot; correct meta/info.json")
    return same
