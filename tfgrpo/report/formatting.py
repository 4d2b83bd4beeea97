"""Numbers, times and texts as a reader wants them; what strangers wrote is made visible before it is escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from difflib import SequenceMatcher
from typing import Any

from experience_db import Evidence
from tfgrpo.lessons.reasons import counted_reasons
from tfgrpo.report.data import Refused

NONE = "–"
_MOST_ITEMS = 12
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def visible(text: str) -> str:
    r"""Return the text with controls, bidi overrides and half surrogates as signs that show themselves.

    Such characters can hide or reorder what a page seems to say, and a form feed is often what is left of `\frac`.
    """
    return _UNSEEN.sub(_sign, text.replace("\r\n", "\n"))


def _sign(found: re.Match[str]) -> str:
    return f"⟨U+{ord(found[0]):04X}⟩"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many decimals; a dash for none."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """Return a difference with its sign; a dash for none."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:+.{digits}f}".replace("-", "−")


def ends(low: float | None, high: float | None, *, sign: bool = False) -> str:
    """Return an interval in brackets; '' for none."""
    if low is None or high is None:
        return ""
    write = signed if sign else number
    return f"[{write(low)}, {write(high)}]"


def p_value(p: float | None) -> str:
    """Return `p = 0.012`, `p < 0.001` or `p unknown`, in one piece."""
    if p is None or not math.isfinite(p):
        return "p unknown"
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{p:.3f}"


def thousands(value: int | None) -> str:
    """Return a count with separators; a dash for none."""
    return NONE if value is None else f"{value:,}"


def money(usd: float | None) -> str:
    """Return dollars, or `unknown`, which is not zero."""
    if usd is None:
        return "unknown"
    return f"{usd:.4f}" if 0 < usd < 0.01 else f"{usd:.2f}"


def when(seconds: float | None) -> str:
    """Return a time since the epoch as date and time; a dash for none."""
    return NONE if not seconds else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float | None) -> str:
    """Return a duration in the largest unit that fits."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def plural(count: int, word: str, many: str = "") -> str:
    """Return `1 lesson`, `2 lessons`."""
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def how(evidence: Evidence) -> str:
    """Return how something was measured, of which edit unless an ADD, and together with what."""
    edits = [str(e[0]) for e in evidence.detail.get("edit") or []]
    what = f" of {edits[0]}" if len(edits) == 1 and edits[0] != "ADD" else ""
    others = len(evidence.lesson_ids) - 1
    together = f", with {plural(others, 'other')}" if others > 0 else ""
    return f"{evidence.kind}{what}{together}"


def facts(detail: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return whatever else a measurement knows, as names and short texts."""
    return [(str(k), _fact(v)) for k, v in detail.items() if k != "edit" and v not in (None, [], {}, "")]


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_fact(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        rest = f", and {len(value) - _MOST_ITEMS} more" if len(value) > _MOST_ITEMS else ""
        return ", ".join(map(str, value[:_MOST_ITEMS])) + rest
    return str(value)


def flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return a nested configuration as dotted keys and texts, in its own order."""
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            rows += flat(value, f"{prefix}{key}.")
        else:
            empty = value is None or value in ("", [], {})
            long = isinstance(value, list | tuple) and len(value) > _MOST_ITEMS
            rows.append((f"{prefix}{key}", NONE if empty else f"{len(value)} items" if long else str(value)))
    return rows


_MOST_COMPARED = 200_000


def word_diff(old: str, new: str) -> list[tuple[str, str]]:
    """Return pieces (`same`, `del` or `ins`, text) that lead from the old words to the new."""
    a, b = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (old, new))
    if len(a) * len(b) > _MOST_COMPARED:
        # Comparing takes their product; of texts this long nobody reads the words one by one.
        return [("same", old)] if old == new else [(kind, text) for kind, text in (("del", old), ("ins", new)) if text]
    pieces: list[tuple[str, str]] = []
    for op, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if op == "equal":
            pieces.append(("same", "".join(a[i:j])))
            continue
        pieces += [(kind, "".join(words)) for kind, words in (("del", a[i:j]), ("ins", b[k:m])) if words]
    return pieces


def reasons(refused: Sequence[Refused]) -> str:
    """Return why edits were refused, equal reasons counted."""
    counts = counted_reasons(item.item.reason for item in refused)
    return "; ".join(f"{count} × {reason}" for reason, count in counts.items())


def one_line(text: str, most: int = 100) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def rewards(values: Sequence[float | None]) -> str:
    """Return the rewards of a group, a dash where there is none."""
    return " ".join(NONE if v is None else f"{v:g}" for v in values)


def file_name(dataset: str) -> str:
    """Return the name of a dataset without the folders of its file."""
    return dataset.replace("\\", "/").rpartition("/")[2] if dataset.endswith((".jsonl", ".csv")) else dataset
