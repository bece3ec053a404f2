"""Rows of the lake as files people open elsewhere: CSV, NDJSON, Parquet. Written as they are read."""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import polars as pl
import pyarrow.parquet as pq

from core.names.plain_names import FORMULA
from history.read.ndjson import ndjson


class Writer(Protocol):
    """Writes frames of the same columns to an open file."""

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows."""

    def close(self) -> None:
        """Finish the output."""


class CsvWriter:
    """RFC 4180, UTF-8, a header; numbers with a point and without an exponent, nothing for null."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._begun = False

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows."""
        text = harmless(frame).write_csv(include_header=not self._begun, float_scientific=False)
        self._file.write(text.encode())  # polars itself would hide that a pipe is closed
        self._begun = True

    def close(self) -> None:
        """Do nothing: the format has no end."""


def harmless(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with a `'` before each text that a spreadsheet would take for a formula."""
    text = pl.col(pl.String)
    formula = text.str.contains(FORMULA)
    return frame.with_columns(pl.when(formula).then("'" + text).otherwise(text).name.keep())


class NdjsonWriter:
    """A JSON object per line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows."""
        self._file.write(ndjson(frame))

    def close(self) -> None:
        """Do nothing: the format has no end."""


class ParquetWriter:
    """Parquet, zstd, a row group per frame."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer: pq.ParquetWriter | None = None

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows."""
        rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, rows.schema, compression="zstd")
        self._writer.write_table(rows)

    def close(self) -> None:
        """Write the footer."""
        if self._writer is not None:
            self._writer.close()


FORMATS: Final[dict[str, type[CsvWriter] | type[NdjsonWriter] | type[ParquetWriter]]] = {
    "csv": CsvWriter,
    "ndjson": NdjsonWriter,
    "parquet": ParquetWriter,
}


def write_all(frames: Iterable[pl.DataFrame], file: BinaryIO, format: str) -> Iterator[pl.DataFrame]:
    """Write the frames to the file; yields each once it is written."""
    writer: Writer = FORMATS[format](file)
    for frame in frames:
        writer.write(frame)
        yield frame
    writer.close()


@contextmanager
def finished_file(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name only once it is complete: until then, or for good, it is `NAME.part`.

    What fails takes the unfinished file away. What is there and no file of its own (a device, a pipe) is
    written into as it is. Raises OSError.
    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "no file has a NUL in its name", str(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a directory: name a file in it", str(path))
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            yield stream
        return
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
