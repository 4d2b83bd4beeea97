"""Stored results of other tools as rows: item id, scores, what was answered, or why there is nothing.

In: a file or a folder of promptfoo, inspect_ai, lm-evaluation-harness, verifiers, HELM, OpenAI Evals, Weave, Langfuse,
Claude Code, Codex, OpenTelemetry, or plain JSONL. Out: `Row`s, and what could not be read. No model, no network, no
package of those tools. Read `row.py`, then `detect.py`; each format has a file of its own.
"""

from tfgrpo.readers.detect import FORMATS, Stored, read
from tfgrpo.readers.row import Row

__all__ = ["FORMATS", "Row", "Stored", "read"]
