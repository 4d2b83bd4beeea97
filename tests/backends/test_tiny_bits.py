"""The embedded model's bits, under each set of kernels that the BLAS library of this machine can run."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import tiny_bits

CHECK = Path(tiny_bits.__file__)
X86 = (
    *("Katmai", "Core2", "Nehalem", "Barcelona", "Sandybridge", "Bulldozer", "Haswell", "Zen"),
    *("SkylakeX", "Cooperlake", "SapphireRapids"),
)
ARM = ("ARMV8", "ARMV8SVE", "CortexA57", "NeoverseN1", "NeoverseN2", "NeoverseV1", "VortexM4", "A64FX")
KERNELS = X86 if platform.machine().lower() in ("x86_64", "amd64") else ARM
"""As OpenBLAS names them; libraries are built with a choice of these and put the nearest in the place of others."""


def checked(kernel: str | None) -> tuple[list[str], list[str] | None]:
    """Kernels that a process of its own runs, and what it finds broken; None where it got other kernels."""
    chosen = {} if kernel is None else {"OPENBLAS_CORETYPE": kernel}
    done = subprocess.run(
        [sys.executable, str(CHECK), *([kernel] if kernel else [])],
        env={**os.environ, "PYTHONPATH": str(CHECK.parents[2]), "OPENBLAS_NUM_THREADS": "2", **chosen},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == -signal.SIGILL:
        return [], None
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return told["kernels"], told["broken"]


def test_bits_do_not_depend_on_company_on_this_machine():
    """Alone, batched, in parts, from a cache, scored, on one or two threads: the kernels that BLAS chooses agree."""
    assert checked(None)[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
def test_bits_do_not_depend_on_company_under_any_kernel(kernel):
    """The same under each other set of kernels that this machine can run."""
    running, broken = checked(kernel)
    if broken is None:
        pytest.skip(f"this machine's BLAS has no {kernel} kernels; it runs {', '.join(running) or 'none of them'}")
    assert broken == []
