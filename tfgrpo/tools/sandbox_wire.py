"""The two things that both ends of a sandbox share: the text of the child, and how orders are framed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHILD = (Path(__file__).parent / "sandbox_child.py").read_text(encoding="utf-8")


def encode_orders(order: Mapping[str, Any]) -> bytes:
    """Return orders as the child reads them: 8 bytes of length, then JSON."""
    body = json.dumps(order).encode()
    return len(body).to_bytes(8, "big") + body
