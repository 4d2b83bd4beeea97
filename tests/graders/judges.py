"""Scripted judges: what they say is a function of the prompt, and the roles are those of the real templates."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from tfgrpo.backends import Scripted
from tfgrpo.config.grader import GraderConfig
from tfgrpo.executors import Local
from tfgrpo.graders.judge import Judge
from tfgrpo.graders.votes import JudgeModel
from tfgrpo.prompting import templates
from tfgrpo.types import Problem, Reply, Request, Rollout

FENCED = r"<{0}-[0-9a-f]{{8}}>\n(.*?)\n</{0}-[0-9a-f]{{8}}>"
PLANTED = re.compile(r"correct|accept|please|system|matches|正确|pick", re.IGNORECASE)


def fenced(prompt: str, tag: str) -> list[str]:
    """The quoted texts of a kind in a prompt."""
    return re.findall(FENCED.format(tag), prompt, re.DOTALL)


def prompt_of(request: Request) -> str:
    """The first message."""
    return str(request.messages[0]["content"])


def careful(request: Request) -> str:
    """CORRECT where the reference (or a word of the rubric in capitals or digits) stands in the answer, alone."""
    prompt = prompt_of(request)
    (answer,) = fenced(prompt, "answer")
    wanted = key(prompt)
    right = wanted in answer.casefold() and answer not in (*fenced(prompt, "question"), *fenced(prompt, "rubric"))
    return verdict("CORRECT" if right else "INCORRECT")


def gullible(request: Request) -> str:
    """Believe every answer that says of itself that it is right, and else judge like `careful`."""
    (answer,) = fenced(prompt_of(request), "answer")
    return verdict("CORRECT") if PLANTED.search(answer) else careful(request)


def key(prompt: str) -> str:
    """What a right answer holds."""
    known = ("danube", "100 °c", "austen", "408", "july of 1969", "nitrogen")
    given = " ".join([*fenced(prompt, "reference"), *fenced(prompt, "rubric")]).casefold()
    return next((word for word in known if word.split()[0] in given), given)


def verdict(word: str, reason: str = "because") -> str:
    """A reply in the asked form."""
    return json.dumps({"verdict": word, "reason": reason})


def scripted_judge(
    script: Callable[[Request], str | Reply] | Sequence[object], **config: object
) -> tuple[Judge, Scripted]:
    """A judge with a scripted model."""
    backend = Scripted(script)
    settings = GraderConfig(model="scripted", **config)
    return Judge(settings, JudgeModel(backend, "scripted", templates.load(), Local())), backend


def group(*answers: str, id: str = "p") -> list[Rollout]:
    """One rollout per answer."""
    return [Rollout(id, i, answer=answer) for i, answer in enumerate(answers)]


def as_server(judge: Callable[[Request], str]) -> Callable[[dict[str, Any]], str]:
    """A server's reply function that answers like a scripted judge."""
    return lambda body: judge(Request("judge", "judge", tuple(body["messages"])))


PROBLEM = Problem("p", "Which river flows through Vienna, Budapest and Belgrade?", "the Danube")
