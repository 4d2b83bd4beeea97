"""A file as JSON values, whatever its ending: one document, one object a line, or the members of a zip."""

from __future__ import annotations

import csv
import io
import json
import lzma
import struct
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfgrpo.errors import BadRow, UsageError
from tfgrpo.system.archives import too_large

ZSTANDARD = 93
"""How a zip calls this compression."""
MOST_NODES = 5_000_000
"""Values of a YAML text with each alias written out: nine short lines can stand for a thousand million."""


@dataclass(frozen=True, slots=True)
class Document:
    """The parsed content of one file."""

    path: Path
    kind: str
    """`json` (one value), `lines` (one object a line), `zip` or `yaml`."""
    values: tuple[Any, ...] = ()
    """The values: one for `json` and `yaml`, one a line for `lines`."""
    members: tuple[tuple[str, Any], ...] = ()
    """Name and value of each JSON member of a zip, by name."""

    @property
    def value(self) -> Any:
        """The first value; None in an empty file."""
        return self.values[0] if self.values else None

    @property
    def objects(self) -> tuple[dict[str, Any], ...]:
        """Those values that are objects; of a document that is a list, its members."""
        found = self.value if self.kind == "json" and isinstance(self.value, list) else self.values
        return tuple(v for v in found if isinstance(v, dict))


def load(path: Path) -> Document:
    """Read a file.

    Raises:
        UsageError: no such file, or a zip that cannot be read here.
        BadRow: it is neither JSON, JSON lines, CSV, YAML nor a zip of JSON; names file and line.
    """
    if not path.is_file():
        raise UsageError(f"no file {str(path)!r}; give a file or a folder of stored results")
    raw = path.read_bytes()
    if raw[:4] == b"PK\x03\x04":
        return Document(path, "zip", members=_members(path))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRow(f"{path}: not UTF-8 text at byte {error.start + 1}; convert it") from error
    if path.suffix.lower() in (".yaml", ".yml"):
        return Document(path, "yaml", (_yaml(path, text),))
    if path.suffix.lower() == ".csv":
        return Document(path, "lines", _table(path, text))
    try:
        return Document(path, "json", (json.loads(text),)) if text.strip() else Document(path, "lines")
    except ValueError:
        return Document(path, "lines", tuple(_lines(path, text)))
    except RecursionError as error:
        raise BadRow(f"{path}: nested too deeply to be read") from error


def _lines(path: Path, text: str) -> list[Any]:
    values = []
    for place, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                values.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise BadRow(f"{path}:{place}: not JSON ({error}); one object a line is expected") from error
    return values


def _table(path: Path, text: str) -> tuple[Any, ...]:
    csv.field_size_limit(sys.maxsize >> 32)
    try:
        return tuple(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise BadRow(f"{path}: not CSV ({error})") from error


def _yaml(path: Path, text: str) -> Any:
    try:
        import yaml  # noqa: PLC0415  only some formats want it
    except ImportError as error:
        raise UsageError(f"{path} is YAML, which needs PyYAML: pip install pyyaml, or give the file as JSON") from error
    try:
        value = yaml.safe_load(text)
    # A date or a number that cannot be is a ValueError.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadRow(f"{path}: not YAML ({error})".replace("\n", " ")) from error
    _require_finite(path, value)
    return value


def _require_finite(path: Path, value: Any) -> None:
    """Raise BadRow where aliases make a value that is endless, or as good as."""
    left, seen = [value], 0
    while left:
        one = left.pop()
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else ()
        seen += 1 + len(inner)
        if seen > MOST_NODES:
            raise BadRow(f"{path}: its aliases stand for more than {MOST_NODES:,} values; write them out")
        left += inner


def _members(path: Path) -> tuple[tuple[str, Any], ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = sorted((i for i in archive.infolist() if i.filename.endswith(".json")), key=lambda i: i.filename)
            if why := too_large(infos):
                raise BadRow(f"{path}: {why}; split it")
            return tuple((info.filename, json.loads(_content(path, archive, info))) for info in infos)
    except UsageError:
        raise
    # A RuntimeError is a member that is encrypted, packed in an unknown way, or nested too deeply.
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, ValueError, EOFError, RuntimeError, struct.error) as error:
        raise BadRow(f"{path}: a damaged archive ({error}); write it again") from error


def _content(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return a member, also where it is compressed with zstandard, which Python reads from 3.14 on."""
    if info.compress_type != ZSTANDARD:
        return archive.read(info)
    try:
        import zstandard  # noqa: PLC0415  only newer logs want it
    except ImportError as error:
        raise UsageError(
            f"{path} is compressed with zstandard: pip install zstandard, or convert the log to JSON"
        ) from error
    with path.open("rb") as stream:
        stream.seek(info.header_offset + 26)
        name, extra = struct.unpack("<HH", stream.read(4))
        stream.seek(name + extra, 1)
        packed = stream.read(info.compress_size)
    with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader:
        try:
            content = bytes(reader.read(info.file_size + 1))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
    if len(content) != info.file_size:
        raise ValueError(f"{info.filename} has another length than it says")
    return content
