"""Prints what installed packages require, without each other and what serving a small text model does not need."""

import sys
from importlib.metadata import requires

from pip._vendor.packaging.requirements import Requirement

NOT_NEEDED = {"opencv-python-headless", "torch", "torchaudio", "torchvision", "torchcodec", "triton"}
WITHOUT_EXTRAS = {"mistral_common"}
"""Its extra for images brings OpenCV."""

for line in sorted({line for name in sys.argv[1:] for line in requires(name) or ()}):
    requirement = Requirement(line)
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        continue
    if requirement.name in {*NOT_NEEDED, *sys.argv[1:]}:
        continue
    requirement.marker = None
    if requirement.name in WITHOUT_EXTRAS:
        requirement.extras = set()
    print(requirement)
