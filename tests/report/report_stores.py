"""Stores to report on: a scripted run with everything in it, a hostile one, a large one, and ones with little."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import count
from pathlib import Path
from typing import Any

from support.script import Model, edits, learn, propose, rows, solve, text_of

from experience_db import Edit, Evaluation, Evidence, Journal, Op, Source, Store
from tfgrpo.errors import ProviderError
from tfgrpo.types import Request

HARMFUL = "When the topic is maple, think of autumn first."
LATEX = r"So $\frac{a^2}{b}$ and \(x_1 < y\), hence \boxed{\frac{1}{2}}."
ATTACKS = (
    "</textarea><script>document.title='owned'</script>",
    "</script></style></title></pre></details><script>document.title='owned'</script>",
    "\"><img src=x onerror=\"document.title='owned'\"><svg/onload=document.title='owned'>",
    "{{ 7 * 191 }}{% include '/etc/passwd' %} ]]> --> <!-- &lt;b&gt; javascript:alert(1)",
    "``` \n# heading\n| a | b |\n<b>x</b> [link](javascript:alert(1)) \u202egnp.exe \x00\x0c",
)


def scripted_run(db: Path) -> str:
    """Learn three lessons in a scripted run with a gate, a harmful edit and a broken call; returns the run's id."""

    def attempt(request: Request) -> Any:
        text = text_of(request)
        found = re.search(r"topic maple: what comes of (\d+)", text)
        if found is None or request.role == "rollout":
            return ProviderError("overloaded") if "of 201?" in text and request.attempt == 3 else solve(request)
        return "Answer: 0" if HARMFUL in text else f"Answer: {2 * int(found[1])}"

    model = Model(
        rollout=attempt,
        gate=attempt,
        evaluate=attempt,
        contrast=lambda r: edits({"op": "ADD", "text": HARMFUL}) if "topic maple" in text_of(r) else propose(r),
    )
    learn(model, rows(8), db, heldout=rows(40, 100), gate="paired", batch_size=4, run="night", library="web")
    with Store.open(db, readonly=True) as store:
        run = store.find_run("night")
        assert run is not None
        return run.id


def hostile_run(db: Path) -> str:
    """Make a run whose every text is an attack; returns its id."""
    a, b, c, d, e = ATTACKS
    with Store.open(db, clock=_clock()) as store:
        name = "lib<script>"
        store.create_library(name)
        store.start_run(
            a, name=b, kind=c, fingerprint=d, library=name, base_version=0, dataset=e,
            config={"model": a, "summarizer_model": b, "grader": c, b: {c: d}, "gate": {"kind": d}, "heldout": e},
        )  # fmt: skip
        source = Source(a, (0, 1), a, 0, c, d)
        wordings = [Edit(Op.ADD, text, reason=text, sources=(source,), tainted=True) for text in ATTACKS]
        told = Evidence(b, 0.5, 0.1, 0.9, 8, (1,), "accepted", c, {a: b, "edit": [["ADD", [], a]], c: [d, e]})
        store.commit(name, wordings, parent=0, run=a, step=0, note=c, evidence=[told])
        store.commit(name, [Edit(Op.UPDATE, e + a, (2,), d, (source,))], parent=1, run=a, step=0, note=d)
        store.set_aside(name, [wordings[0]], status="rejected", reason=e, version=0, run=a, step=0)
        store.set_aside(name, [Edit(Op.DELETE, None, (3,), a)], status="undecided", reason=d, version=0, run=a, step=0)
        store.record_group(
            a, 0, problem={"id": a, "question": b, "answer": c, "metadata": {d: e}}, status=c, version=0,
            rollouts=[_rollout(i, ATTACKS) for i in range(4)],
            scores=[{"value": float(i), "why": d, "name": e} for i in range(3)]
            + [{"value": None, "why": a, "name": b, "failure": {"kind": c, "message": d}}],
            rewards=[0.0, 1.0, 2.0, None], advantages=[-1.0, 0.0, 1.0, 0.0],
        )  # fmt: skip
        summary = {"groups": {c: 1}, "edits": {"proposed": 1, d: 1}, "failures": {e: 3, c: 1}}
        store.record_step(a, 0, epoch=0, version_before=0, version_after=2, summary=summary)
        measured = {"controls": {c: {"mean": 0.1, "ci": [0, 1], "diff": 0.1, "diff_ci": [-1, 1], "p": 0.9}}}
        store.record_evaluation(Evaluation(a, e, b, name, 2, 0.5, 0.4, 0.6, 8, 1, d, measured))
        Journal(store).put("k", role=b, model=a, request={}, reply={}, prompt_tokens=3, run=a)
        store.finish_run(a, "budget", {"stopped": c, "calls": {b: {"new": 1, "replayed": 0}}})
    return a


def _rollout(index: int, texts: tuple[str, ...]) -> dict[str, Any]:
    a, b, c, d, e = texts
    messages = [
        {"role": "system", "content": b * 9},
        {"role": a, "content": c + "\ud800"},
        {"role": "assistant", "content": d},
    ]
    call = {"function": {"name": b, "arguments": c}}
    rest = [{"role": e, "content": [{"type": "text", "text": a}, {"type": d}]}, {"role": "tool", "tool_calls": [call]}]
    failure = {"kind": d, "message": e} if index == 3 else None
    return {
        "index": index, "messages": messages + rest if index else messages, "answer": f"{e}{index}",
        "finish_reason": a, "usage": {"completion_tokens": 3}, "failure": failure, "tainted": True,
    }  # fmt: skip


def large_run(db: Path, groups: int = 100, size: int = 5, length: int = 6000, steps: int = 2) -> str:
    """Make a run of groups * size rollouts with answers of `length` characters; returns its id."""
    with Store.open(db, clock=_clock()) as store:
        store.create_library("big")
        facts = {"kind": "learn", "fingerprint": "f", "config": {}, "library": "big", "base_version": 0}
        store.start_run("big", name="big", dataset="d", **facts)
        last = Source(f"p{groups - 1}", (0,), "big", steps - 1)
        store.commit("big", [Edit(Op.ADD, "Rest on the last group.", sources=(last,))], parent=0, run="big", step=0)
        for i in range(groups):
            store.record_group(
                "big", i * steps // groups, problem={"id": f"p{i}", "question": f"What is {i}?"}, status="kept",
                version=0, rollouts=[_long(i, j, length) for j in range(size)], rewards=[1.0] + [0.0] * (size - 1),
                advantages=[1.0] + [-0.2] * (size - 1),
            )  # fmt: skip
        for step in range(steps):
            store.record_step("big", step, epoch=0, version_before=0, version_after=1, summary={})
        store.finish_run("big", "finished", {})
    return "big"


def _long(group: int, index: int, length: int) -> dict[str, Any]:
    prompt = [{"role": "system", "content": "Lessons. " * 400}, {"role": "user", "content": f"What is {group}?"}]
    return {"index": index, "messages": prompt, "answer": f"{group}/{index} " + "x " * (length // 2)}


def bare_run(db: Path, status: str = "running", kind: str = "eval") -> str:
    """Start a run that recorded nothing; returns its id."""
    with Store.open(db, clock=_clock()) as store:
        facts = {"kind": kind, "fingerprint": "f", "config": {}, "library": None, "base_version": None}
        store.start_run("bare", name="bare", dataset="d", **facts)
        if status != "running":
            store.finish_run("bare", status, {})
    return "bare"


def _clock() -> Any:
    ticks = count(1_000_000)
    return lambda: float(next(ticks))


class Page(HTMLParser):
    """A parsed page: its elements, its texts, and whatever is not balanced."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self.feed(html)
        self.close()
        self.faults += [f"{tag} is never closed" for tag in self.stack]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Notice what closes in the wrong order."""
        if not self.stack or self.stack.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        """Keep the text with the element it stands in."""
        self.texts.append((self.stack[-1] if self.stack else "", data))

    def text(self) -> str:
        """All words of the page, those of style and script left out."""
        return "".join(data for tag, data in self.texts if tag not in {"style", "script"})

    def attributes(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [value or "" for _, attributes in self.elements for key, value in attributes.items() if key == name]
