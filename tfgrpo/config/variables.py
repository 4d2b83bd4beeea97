"""What the environment says: where the database is, and which values are secret. It loads no table of settings."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tfgrpo.system.redact import url_secrets

SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|AUTH|DSN)$", re.IGNORECASE)
"""How variables are called whose values are nobody's business."""


def environment(name: str) -> str | None:
    """Value of an environment variable, None when unset or empty."""
    return os.environ.get(name) or None


def secrets(*urls: str) -> tuple[str, ...]:
    """Keys, tokens and passwords in the environment, by the names of their variables, and in addresses; longest first.

    Values below 8 characters are left out: what is that short may be a word of any text.
    """
    found = {v.strip() for k, v in os.environ.items() if SECRET_NAME.search(k) and len(v.strip()) >= 8}
    found |= {each for url in (*urls, environment("OPENAI_BASE_URL")) for each in url_secrets(url)}
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def default_db() -> Path:
    """The database named by TFGRPO_DB, else `experience.db` in the current folder."""
    return Path(environment("TFGRPO_DB") or "experience.db")


def data_folder() -> Path | None:
    """The folder of local benchmark files named by TFGRPO_DATA, if any."""
    value = environment("TFGRPO_DATA")
    return Path(value) if value else None
