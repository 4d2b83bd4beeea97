"""Connections that there is no file for are not opened."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

ASK = "from tfgrpo.system.open_files import room_for; print(room_for(64))"


@pytest.mark.parametrize(
    ("soft", "hard", "room"), [(40, 4096, range(64, 65)), (60, 60, range(10, 41)), (20, 20, range(1, 10))]
)
def test_the_limit_is_raised_where_it_may_be_and_kept_to_where_not(soft: int, hard: int, room: range):
    """Half of few files is left for everything else, and at least one call goes out; fewer than asked for are told."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    ran = subprocess.run(
        [sys.executable, "-S", "-c", ASK], preexec_fn=limited, capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) in room
    assert ("more with a larger limit (ulimit -n)" in ran.stderr) is (64 not in room)
