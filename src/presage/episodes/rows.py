"""The rows of datasets as they lie in their parquet files: every column, also those that info.json does not know."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from presage.episodes import layout
from presage.episodes.dataset import Dataset
from presage.episodes.metadata import EpisodeRecord, read_schema, read_table
from presage.episodes.pictures import find_picture
from presage.errors import UserError

COUNTED_ANEW = ("episode_index", "index", "task_index")


def common_schema(parts: Sequence[Dataset], features: dict[str, dict[str, Any]]) -> pa.Schema:
    """Columns of the data files of all parts together, each of the type it is stored in: first those of `features`.

    Where files store one column in several ways it gets the type that info.json gives it.

    Raises:
        UserError: a file is damaged, or two store one column in ways that no type covers.
    """
    found: dict[str, dict[pa.DataType, tuple[pa.Field, Path]]] = {}
    metadata: dict[bytes, bytes] = {}
    for part in parts:
        for file in dict.fromkeys(record.data_file for record in part.episodes):
            schema = read_schema(part.root / file)
            metadata = {**(schema.metadata or {}), **metadata}
            for field in schema:
                found.setdefault(field.name, {}).setdefault(field.type, (field, part.root / file))
    names = [name for name, feature in features.items() if feature["dtype"] != "video"]
    fields = [_common_field(name, features.get(name), found.get(name, {})) for name in dict.fromkeys([*names, *found])]
    return pa.schema(fields, metadata or None)


def _common_field(
    name: str, feature: dict[str, Any] | None, found: dict[pa.DataType, tuple[pa.Field, Path]]
) -> pa.Field:
    if name in COUNTED_ANEW or not found:
        return pa.field(name, layout.arrow_type(feature) if feature else pa.null())
    kinds = [kind for kind in found if not pa.types.is_null(kind)] or list(found)
    if len(kinds) == 1:
        return found[kinds[0]][0].with_nullable(True)
    leaves = {_leaf(kind) for kind in kinds}
    if feature is not None and feature["dtype"] != "image" and _is_known(feature["dtype"]):
        kind = layout.arrow_type(feature)
        return pa.field(name, kind if feature["dtype"] == "string" else _with_leaf(kind, _widest(leaves, _leaf(kind))))
    (_, here), (_, there) = found[kinds[0]], found[kinds[1]]
    raise UserError(
        f"{there}: column {name!r} is {kinds[1]}, in {here} {kinds[0]}; store both alike, or drop the column"
    )


def _is_known(dtype: str) -> bool:
    try:
        return dtype == "string" or np.dtype(dtype).kind in "biuf"
    except TypeError:
        return False


def _leaf(kind: pa.DataType) -> pa.DataType:
    while isinstance(kind, pa.BaseExtensionType) or pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind.value_type
    return kind


def _with_leaf(kind: pa.DataType, leaf: pa.DataType) -> pa.DataType:
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(leaf, kind.list_size)
    return pa.list_(_with_leaf(kind.value_type, leaf)) if pa.types.is_list(kind) else leaf


def _widest(leaves: set[pa.DataType], described: pa.DataType) -> pa.DataType:
    """A type of numbers that keeps every bit of all the others."""
    if len(leaves) == 1:
        return next(iter(leaves))
    try:
        return pa.from_numpy_dtype(np.result_type(*(leaf.to_pandas_dtype() for leaf in leaves)))
    except (TypeError, NotImplementedError, pa.ArrowException):
        return described


class RowReader:
    """The rows of one episode after the other; a file that holds several is read once."""

    def __init__(self, schema: pa.Schema):
        self._schema = schema
        self._path, self._table = Path(), pa.table({})
        self.pictures: dict[Path, set[str]] = {}
        """Files of each dataset that its rows only named, and that are inside of them now."""

    def read(self, part: Dataset, record: EpisodeRecord) -> pa.Table:
        """The columns of the schema that this episode has, as they are stored.

        Raises:
            UserError: the file is damaged or has too few rows.
        """
        path = part.root / record.data_file
        if path != self._path:
            self._path, self._table = path, read_table(path)
        rows = self._table.slice(record.data_row, record.length)
        if len(rows) != record.length:
            raise UserError(f"{path}: episode {record.index} has {len(rows)} of {record.length} rows; restore the file")
        for name, feature in part.features.items():
            if feature["dtype"] == "image" and name in rows.column_names:
                place = rows.column_names.index(name)
                rows = rows.set_column(place, rows.schema.field(name), self._with_pictures(part, rows[name], path))
        return rows

    def arrange(self, part: Dataset, record: EpisodeRecord, rows: pa.Table, made: dict[str, np.ndarray]) -> pa.Table:
        """The rows in the schema: `made` columns, what is stored, and nulls where this part never had a column."""
        path = part.root / record.data_file
        columns = []
        for field in self._schema:
            if field.name in made:
                columns.append(pa.array(made[field.name]).cast(field.type))
            elif field.name in rows.column_names:
                columns.append(_cast(rows[field.name], field, path))
            elif field.name in part.features:
                raise UserError(
                    f"{path}: column {field.name!r} is missing; restore the file or download the dataset again"
                )
            else:
                columns.append(_nulls(record.length, field.type))
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _with_pictures(self, part: Dataset, cells: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
        """Images with their bytes inside, also where the rows only name files."""
        if not pa.types.is_struct(cells.type) or {"bytes", "path"} - {field.name for field in cells.type}:
            return cells
        if pc.struct_field(cells, "bytes").null_count == 0:
            return cells
        values = cells.to_pylist()
        for value in values:
            if value is not None and value["bytes"] is None and value["path"]:
                value["bytes"] = self._picture(part, value["path"], path)
        return pa.chunked_array([pa.array(values, cells.type)])

    def _picture(self, part: Dataset, name: str, path: Path) -> bytes:
        try:
            file = find_picture(name, part.root, path)
            data = file.read_bytes()
        except (UserError, OSError) as error:
            raise UserError(f"{path}: names the picture {name!r}, which cannot be read; restore it") from error
        self.pictures.setdefault(part.root, set()).add(Path(os.path.relpath(file, part.root)).as_posix())
        return data


def _cast(column: pa.ChunkedArray, field: pa.Field, path: Path) -> pa.ChunkedArray:
    if column.type == field.type:
        return column
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: column {field.name!r} does not fit meta/info.json ({reason}); correct one of them"
        ) from error


def _nulls(length: int, kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.nulls(length, kind.storage_type))
    return pa.nulls(length, kind)
