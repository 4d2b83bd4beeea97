"""A file as JSON values, whatever its ending: one document, one object a line, or the members of a zip."""

from __future__ import annotations

import csv
import io
import lzma
import re
import struct
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfgrpo.errors import BadRow, UsageError
from tfgrpo.system.archives import too_large
from tfgrpo.system.untrusted_json import DEEPEST, fault_of, loads

ZSTANDARD = 93
"""How a zip calls this compression."""
BETWEEN = re.compile(r"(?<=^\})\r?\n(?=\{)", re.MULTILINE)
"""Where one object ends and the next begins, of those that exporters print over several lines."""
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
        return Document(path, "json", (loads(text, forgiving=True),)) if text.strip() else Document(path, "lines")
    except ValueError:
        return Document(path, "lines", tuple(_lines(path, text)))


def _objects(text: str) -> list[str]:
    """Return the objects of a text: one a line, or written over several lines and one after the other."""
    return BETWEEN.split(text) if text.lstrip().startswith("{\n") else text.split("\n")


def _lines(path: Path, text: str) -> list[Any]:
    values, place = [], 1
    for part in _objects(text):
        if part.strip():
            try:
                values.append(loads(part, forgiving=True))
            except ValueError as error:
                raise BadRow(f"{path}:{place}: not JSON ({fault_of(error)}); one object a line is expected") from error
        place += 1 + part.count("\n")
    return values


def _table(path: Path, text: str) -> tuple[Any, ...]:
    csv.field_size_limit(sys.maxsize >> 32)
    try:
        lines = csv.reader(io.StringIO(text, newline=""))
        return tuple(csv.DictReader(io.StringIO(text, newline=""), _heads(next(lines, []))))[1:]
    except csv.Error as error:
        raise BadRow(f"{path}: not CSV ({error})") from error


def _heads(given: list[str]) -> list[str]:
    """Return the names of columns; one that comes again has its number behind it, so that no column hides another."""
    met: dict[str, int] = {}
    found = []
    for name in given:
        met[name] = met.get(name, 0) + 1
        found.append(name if met[name] == 1 else f"{name}#{met[name]}")
    return found


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
    """Raise BadRow where aliases make a value that is endless, or as good as, or where it is nested too deep."""
    left, seen = [(value, 0)], 0
    while left:
        one, depth = left.pop()
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else ()
        seen += 1 + len(inner)
        if seen > MOST_NODES:
            raise BadRow(f"{path}: its aliases stand for more than {MOST_NODES:,} values; write them out")
        if inner and depth > DEEPEST:
            raise BadRow(f"{path}: nested more than {DEEPEST} levels deep, or without end; write it flat")
        left += [(item, depth + 1) for item in inner]


def _members(path: Path) -> tuple[tuple[str, Any], ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = sorted((i for i in archive.infolist() if i.filename.endswith(".json")), key=lambda i: i.filename)
            if why := too_large(infos):
                raise BadRow(f"{path}: {why}; split it")
            return tuple((info.filename, loads(_content(path, archive, info), forgiving=True)) for info in infos)
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
