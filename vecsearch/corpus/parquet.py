"""Records of Parquet and Arrow files, whatever types their columns have."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from vecsearch.corpus import values
from vecsearch.corpus.source import BadRecord, CorpusSource, Records
from vecsearch.errors import CorpusError, UsageError

DATASET_STATE = "state.json"
"""What the datasets library writes beside the .arrow files of a folder, whose names it holds."""
_FILE_MARK = b"ARROW1"
_BLOCK = 1024
"""Records held in memory at once."""


def require_pyarrow() -> None:
    """Raises: UsageError with the command that installs it, when pyarrow is not there."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "reading Parquet and Arrow needs pyarrow, which is missing; run: pip install 'vecsearch[parquet]'"
        ) from error


def parquet_records(path: str, source: CorpusSource) -> Records:
    """A record for each row, with its values as Python objects, times and durations as in JSON; one block in memory at a time.

    Raises: CorpusError where two columns have one name.
    """
    import pyarrow.parquet

    number = 0
    # Read as nanoseconds, as is usual, old files' times would end in 2262 and begin again in 1677, without a word.
    with pyarrow.parquet.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
        rows = max(1, file.metadata.num_rows)
        source.tally.fraction = lambda: number / rows
        _refuse_equal_names(file.schema_arrow, source)
        for number, record in _records(file.iter_batches(batch_size=_BLOCK), source):
            yield number, record


def arrow_records(path: str, source: CorpusSource) -> Records:
    """A record for each row of an .arrow file, or of the files of a folder that the datasets library has saved.

    Raises: CorpusError where two columns have one name.
    """
    import pyarrow

    paths = [path]
    if (state := Path(path) / DATASET_STATE).is_file():
        paths = [str(Path(path) / file["filename"]) for file in json.loads(state.read_text())["_data_files"]]

    def batches() -> Iterator[Any]:
        for place, name in enumerate(paths):
            source.tally.fraction = lambda: place / len(paths)  # noqa: B023 - of the file that is being read
            with pyarrow.memory_map(name) as file:
                reader = _arrow_reader(file)
                _refuse_equal_names(reader.schema, source)
                for batch in reader:
                    yield from (batch.slice(first, _BLOCK) for first in range(0, batch.num_rows, _BLOCK))

    yield from _records(batches(), source)


def _arrow_reader(file: Any) -> Any:
    """The batches of a file of either of Arrow's two formats, with their schema."""
    import pyarrow

    if file.read(len(_FILE_MARK)) != _FILE_MARK:
        file.seek(0)
        return pyarrow.ipc.open_stream(file)
    reader = pyarrow.ipc.open_file(file)
    batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
    return pyarrow.RecordBatchReader.from_batches(reader.schema, batches)


def _records(batches: Iterable[Any], source: CorpusSource) -> Records:
    number = 0
    for batch in batches:
        names = batch.schema.names
        columns = dict(zip(names, map(_column, batch.columns), strict=True))
        faulty = [name for name, column in columns.items() if BadRecord in set(map(type, column))]
        for row in zip(*columns.values(), strict=True):
            number += 1
            record = dict(zip(names, row, strict=True))
            if bad := [name for name in faulty if isinstance(record[name], BadRecord)]:
                reason = record[bad[0]]
                source.refuse(number, BadRecord(f'"{bad[0]}" cannot be read: {reason.problem}', reason.remedy))
            else:
                yield number, record


def _refuse_equal_names(schema: Any, source: CorpusSource) -> None:
    """Raise CorpusError where two columns, or two fields of a struct, have one name: only one of them could be read."""
    for where, names in chain([("column", schema.names)], chain.from_iterable(map(_structs, schema))):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise CorpusError(f'{source.name}: the {where} "{twice[0]}" is there twice; give each its own name')


def _structs(field: Any) -> Iterator[tuple[str, list[str]]]:
    """What the fields are called of each struct in a column."""
    import pyarrow.types

    kind = field.type
    if pyarrow.types.is_dictionary(kind):
        return
    if inner := [kind.field(place) for place in range(kind.num_fields)]:
        if pyarrow.types.is_struct(kind):
            yield f'field of "{field.name}"', [item.name for item in inner]
        for item in inner:
            yield from _structs(item)


def _column(array: Any) -> list[Any]:
    """The values of a column; a BadRecord in the place of one that cannot be read."""
    try:
        if not _has_times(array.type):
            return array.to_pylist()
    except MemoryError:
        raise
    except Exception:
        return [_value_or_problem(scalar) for scalar in array]
    return [_value_or_problem(scalar) for scalar in array]


def _value_or_problem(scalar: Any) -> Any:
    try:
        return _value(scalar)
    except MemoryError:
        raise
    except Exception as error:  # pyarrow raises whatever Python's types do
        return BadRecord(str(error) or type(error).__name__, "write it again, as text for instance, or as null")


def _has_times(kind: Any) -> bool:
    """Whether values of a type are times, or hold some: Python's own end at the year 9999, and at microseconds."""
    import pyarrow.types

    if pyarrow.types.is_dictionary(kind):
        return _has_times(kind.value_type)
    return pyarrow.types.is_temporal(kind) or any(_has_times(kind.field(place).type) for place in range(kind.num_fields))


def _value(scalar: Any) -> Any:
    """What a scalar says, its times as JSON has them. Raises whatever pyarrow does, and ValueError."""
    import pyarrow.types

    if not scalar.is_valid:
        return None
    kind = scalar.type
    if pyarrow.types.is_dictionary(kind):
        return _value(scalar.value)
    if pyarrow.types.is_struct(kind):
        return {name: _value(item) for name, item in scalar.items()}
    if pyarrow.types.is_map(kind):
        return [[_value(item["key"]), _value(item["value"])] for item in scalar.values]
    if pyarrow.types.is_nested(kind):
        return [_value(item) for item in scalar.values]
    return _time(kind)(scalar.value) if pyarrow.types.is_temporal(kind) else scalar.as_py()


def _time(kind: Any) -> Callable[[int], Any]:
    """What gives the JSON value of a time of this type from its number of days, milliseconds or ticks."""
    import pyarrow.types

    if pyarrow.types.is_date32(kind):
        return values.date_text
    if pyarrow.types.is_date64(kind):
        return lambda milliseconds: values.date_text(milliseconds // 86_400_000)
    if pyarrow.types.is_timestamp(kind):
        return lambda ticks: values.timestamp_text(ticks, kind.unit, utc=kind.tz is not None)
    if pyarrow.types.is_duration(kind):
        return lambda ticks: values.seconds(ticks, kind.unit)
    return lambda ticks: values.time_text(ticks, kind.unit)
