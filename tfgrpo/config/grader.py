"""What graders can be told, as one configuration table; `--grader` says which grader reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class GraderConfig:
    """Options of the grader: `[grader]` in a file, `-s grader.votes=3` on the command line."""

    model: str = ""
    """judge, web_qa: the model that judges, named as in `--model`; it should not be the one that is judged."""
    base_url: str = ""
    """Its endpoint, where that is no hosted one."""
    mode: str = "answer"
    """judge: `answer` (each alone), `pairs` (every two, in both orders), `rank` or `grades` (the whole group)."""
    rubric: str = ""
    """judge: what a right answer must have, in words, or the path of a text file."""
    votes: int = 1
    """judge, web_qa: calls per verdict; more than half of them must agree, else the rollout is unscored."""
    temperature: float | None = None
    """Of the judge; None is 0 for one vote and 0.7 for several."""
    max_tokens: int | None = None
    answer_tokens: int = 2000
    """What the judge reads of an answer, at most; the middle of a longer one is left out, and the judge is told."""
    self_check: bool = True
    """Before a run starts, let the judge decide known pairs, and end the run if it cannot."""
    calls: int | None = None
    """Budget of the judge alone; the budget of the run counts its calls as well."""
    tokens: int | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    """weighted: weight of each grader by name, `parts = {exact = 1.0, "my_module:brief" = 0.2}`."""
    condition_on: str = ""
    """weighted: the other parts pay only where this one reaches `threshold` (GDPO, arXiv 2601.05242, Eq. 8)."""
    threshold: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    """Passed to any other grader by name: `rel_tol` of numeric, `seconds` of math and program, ..."""
