"""`lessons list` and `runs show` without the tree of commands: scripts ask them all day, and its parser takes longest.

What is not plainly one of their options goes the long way, as does whatever ends in an error, so that help, messages
and exit codes are those of the tree. Both commands only read, so the long way may begin anew.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

VALUED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("lessons", "list"): ("--library", "--db", "--sort", "--min-effect", "--kind"),
    ("runs", "show"): ("--db",),
}
"""The options with a value of each command; both have --json besides."""


def taken(arguments: Sequence[str]) -> bool:
    """Do what the command line asks, and say whether that was possible here."""
    command = (arguments[0], arguments[1]) if len(arguments) > 1 else ("", "")
    # What a file `.env` says goes into the environment, which the tree sees to.
    if command not in VALUED or Path(".env").is_file():
        return False
    told = plain(arguments[2:], VALUED[command])
    if told is None:
        return False
    from experience_db.errors import StoreError
    from tfgrpo.config.variables import default_db
    from tfgrpo.errors import TfgrpoError

    db = Path(told["--db"]) if "--db" in told else default_db()
    try:
        done = _listed(told, db) if command[0] == "lessons" else _shown(told, db)
        sys.stdout.flush()
    except (TfgrpoError, StoreError):
        return False
    except BrokenPipeError:
        # Who reads has seen enough; what is left must not be written at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    return done


def plain(arguments: Sequence[str], valued: Sequence[str]) -> dict[str, str] | None:
    """Return options by name, and a plain word under ''; None where anything is not as expected."""
    told: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        name, sign, value = word.partition("=")
        if word == "--json":
            told[word] = "yes"
        elif name in valued:
            given = value if sign else next(words, "-")
            if given.startswith("-") or name in told or not given:
                return None
            told[name] = given
        elif word.startswith("-") or "" in told or not word:
            return None
        else:
            told[""] = word
    return told


def _listed(told: Mapping[str, str], db: Path) -> bool:
    from tfgrpo.cli.lesson_listing import SortKey, print_lessons

    try:
        sort = SortKey(told.get("--sort", "id"))
        least = float(told["--min-effect"]) if "--min-effect" in told else None
    except ValueError:
        return False
    if "" in told or (least is not None and not math.isfinite(least)):
        return False
    print_lessons(db, told.get("--library", "default"), sort, least, told.get("--kind"), as_json="--json" in told)
    return True


def _shown(told: Mapping[str, str], db: Path) -> bool:
    from tfgrpo.cli.run_page import print_run

    print_run(db, told.get("", "latest"), as_json="--json" in told)
    return True
