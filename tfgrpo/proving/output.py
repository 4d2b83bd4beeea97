"""A proof as data, and as lines on a terminal. The keys of the data are a contract; `schema.json` publishes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from tfgrpo.proving.judge import WORTH
from tfgrpo.proving.pairs import Pair, Side, cost, failure_counts_text, failure_p, failures, mean_rewards
from tfgrpo.proving.proof import Finding, Floor, Proof, Verdict

VERSION = 1
"""Of the JSON; a change that takes something away raises it."""
SHOWN = 3
"""Problems that are shown side by side, won and lost each, on a terminal."""
WIDTH = 68


@cache
def schema() -> dict[str, Any]:
    """Return the published JSON Schema of `prove --json`."""
    text = resources.files("tfgrpo.proving").joinpath("schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def summary(proof: Proof) -> dict[str, Any]:
    """Return the fields of `prove --json`: those of the deciding finding, then what belongs to all of it."""
    return {
        **_finding(proof.deciding),
        "floor": _floor(proof.floor),
        "seconds": round(proof.seconds, 3),
        "detect": proof.told.get("detect"),
        "texts": [_finding(f) for f in proof.findings],
        "controls": {f.kind: _finding(f) for f in proof.controls},
        "beside": [_finding(f) for f in proof.beside],
        "drift": proof.drift,
        "seal": proof.seal,
        "unpaired": dict(proof.unpaired),
        "calls": dict(proof.calls),
        "asked": dict(proof.told),
        "notes": list(proof.notes),
        "version": VERSION,
    }


def _finding(found: Finding) -> dict[str, Any]:
    without, given = [p.without for p in found.pairs], [p.given for p in found.pairs]
    rewards = mean_rewards(found.pairs) or (None, None)
    return {
        "text": found.name,
        "against": found.against,
        "kind": found.kind,
        "verdict": found.verdict.value,
        "reason": found.reason,
        "effect": found.effect,
        "ci": list(found.ci),
        "interval": found.interval,
        "p": found.p,
        "p_harms": found.p_harms,
        "alpha": found.alpha,
        "touched": dict(found.touched),
        "problems": len(found.differences),
        "pairs": len(found.pairs) - found.dropped,
        "dropped": found.dropped,
        "won": list(found.won),
        "lost": list(found.lost),
        "rewards": {"with": rewards[0], "without": rewards[1]},
        "cost": {"with": cost(given), "without": cost(without)},
        "failures": {"with": failures(given), "without": failures(without), "p": failure_p(found.pairs)},
        "needed": found.needed,
    }


def _floor(floor: Floor) -> dict[str, Any]:
    return {
        "effect": floor.effect,
        "ci": list(floor.ci),
        "flaky": list(floor.flaky),
        "n": floor.n,
        "moved": floor.moved,
    }


def lines(proof: Proof) -> Iterator[str]:
    """Yield the proof as a person reads it."""
    for finding in proof.findings:
        yield from _told(finding, proof)
    for finding in proof.controls:
        yield f"{finding.kind}: {finding.verdict.words}, {effect_words(finding)} against {finding.against}"
    yield from whom(proof)
    yield from noise(proof)
    yield from (f"note: {note}" for note in proof.notes)


def whom(proof: Proof) -> Iterator[str]:
    """Yield who hurts whom, where texts were tried together."""
    for finding in proof.beside:
        if finding.verdict is Verdict.HARMS:
            yield f"hurts: {finding.name} beside {finding.against}: {effect_words(finding)} against that alone"
    sure = {f.name for f in proof.beside if f.verdict is Verdict.HARMS}
    for finding in proof.findings:
        if finding.kind == "leave-one-out" and finding.verdict is Verdict.HARMS and finding.name not in sure:
            yield f"hurts: {finding.name} hurts the set; of no single other one it was shown within the pairs"


def _told(found: Finding, proof: Proof) -> Iterator[str]:
    yield f"{found.verdict.words}: {found.name} against {found.against}"
    yield f"  effect:   {effect_words(found)}"
    yield f"  why:      {found.reason}"
    if told := reward_words(found):
        yield f"  rewards:  {told}"
    if floor := floor_words(proof.floor):
        yield f"  floor:    {floor} for the same text against itself"
    touched = found.touched
    if touched["how"] == "word" and touched["effect"] is not None:
        low, high = touched["ci"]
        yield (
            f"  touched:  {touched['effect']:+.3f} [{low:+.3f}, {high:+.3f}] on the {touched['n']} problems that share "
            "a rare word with the text"
        )
    yield from _problems("won", found, found.won)
    yield from _problems("lost", found, found.lost)
    yield f"  cost:     {cost_words(found)}"
    if told := failure_words(found):
        yield f"  failures: {told}"
    unclear = found.verdict is Verdict.CANNOT_TELL or (found.verdict is Verdict.NO_WORTH and proof.told.get("detect"))
    if found.needed is not None and unclear:
        wanted = proof.told.get("detect") or WORTH
        there = f"there were {len(found.pairs)}"
        yield f"  to see an effect of {wanted:+.2f} about {found.needed} pairs are needed (power .8); {there}"


def effect_words(found: Finding) -> str:
    """Return effect, interval, n and p in words."""
    if found.effect is None or found.ci[0] is None or found.ci[1] is None:
        return "no pair"
    p = _p(found)
    n = len(found.differences)
    return f"{found.effect:+.3f} [{found.ci[0]:+.3f}, {found.ci[1]:+.3f}], n={n}{p}"


def floor_words(floor: Floor) -> str:
    """Return what the same text against itself moved the mean by; '' where nothing was tried twice."""
    if floor.effect is None or floor.ci[0] is None or floor.ci[1] is None:
        return ""
    return f"{floor.effect:+.3f} [{floor.ci[0]:+.3f}, {floor.ci[1]:+.3f}], n={floor.n}"


def _p(found: Finding) -> str:
    """Return the one-sided p of the side that the verdict, or the effect, is on."""
    harms = found.verdict is Verdict.HARMS or (found.verdict is not Verdict.HELPS and (found.effect or 0.0) < 0)
    p = found.p_harms if harms else found.p
    return "" if p is None else f", p={p:.2g}"


def _problems(word: str, found: Finding, ids: tuple[str, ...]) -> Iterator[str]:
    more = f", {len(ids) - SHOWN} more in the page (-o page.html)" if len(ids) > SHOWN else ""
    other = "without:" if found.against == "none" else "against:"
    yield f"  {word}:     {len(ids)} of {len(found.differences)}{more}"
    for problem in ids[:SHOWN]:
        pair = example(found, problem)
        yield f"    {problem}: {one_line(pair.question)}"
        yield f"      {other} {side_words(pair.without)}"
        yield f"      with:    {side_words(pair.given)}"


def example(found: Finding, problem: str) -> Pair:
    """Return the pair of a problem that shows best why it was won or lost: the one with the largest difference."""
    own = [p for p in found.pairs if p.id == problem]
    sign = 1 if found.differences.get(problem, 0.0) >= 0 else -1
    return max(own, key=lambda p: sign * p.difference if p.difference == p.difference else -2.0)


def side_words(side: Side) -> str:
    """Return one attempt in a line: its reward, or its failure, and how its answer ends."""
    told = side.failure if side.failure else f"{side.reward:g}"
    return f"({told}) {one_line(side.text, end=True)}".rstrip()


def one_line(text: str, *, end: bool = False) -> str:
    """Return a text on one line, cut in front or at the end."""
    line = " ".join(text.split())
    if len(line) <= WIDTH:
        return line
    return f"…{line[-WIDTH:]}" if end else f"{line[:WIDTH]}…"


def reward_words(found: Finding) -> str:
    """Return both sides' mean rewards, and what it means where neither can move; '' without a pair."""
    rewards = mean_rewards(found.pairs)
    if rewards is None:
        return ""
    told = f"{rewards[0]:.3f} with, {rewards[1]:.3f} without"
    if rewards == (0.0, 0.0):
        return (
            f"{told}: neither side solved anything, so these tasks cannot show what the text is worth to this model; "
            "are they too hard for it, or does the grader not read its answers?"
        )
    if rewards == (1.0, 1.0):
        return f"{told}: either side solved everything, so no text can help here; take harder tasks"
    return told


def cost_words(found: Finding) -> str:
    """Return what an attempt costs on either side."""
    sides = (cost([p.given for p in found.pairs]), cost([p.without for p in found.pairs]))
    parts = [_side_cost(side) for side in sides]
    return f"{parts[0]} with, {parts[1]} without" if any(parts) else "unknown"


def _side_cost(side: Mapping[str, Any]) -> str:
    told = []
    if side["tokens_each"] is not None:
        told.append(f"{side['tokens_each']:.0f} tokens")
    if side["usd"]:
        told.append(f"{side['usd'] / side['attempts']:.5f} USD")
    if side["seconds_each"] is not None:
        told.append(f"{side['seconds_each']:.2f} s")
    return ", ".join(told)


def failure_words(found: Finding) -> str:
    """Return the failures of both sides; '' without one."""
    given, without = failures(p.given for p in found.pairs), failures(p.without for p in found.pairs)
    if not given and not without:
        return ""
    p = failure_p(found.pairs)
    told = "" if p is None else f" (difference: p={p:.2g})"
    return f"{failure_counts_text(given) or 'none'} with, {failure_counts_text(without) or 'none'} without{told}"


def noise(proof: Proof) -> Iterator[str]:
    """Yield what belongs to all questions: the floor, drift, what could not be paired, the seal, the calls."""
    floor = proof.floor
    if told := floor_words(floor):
        named = ", ".join(floor.flaky[:8]) + (", ..." if len(floor.flaky) > 8 else "")
        flaky = f"; flaky: {len(floor.flaky)} ({named})" if floor.flaky else "; no task changed"
        concurrency = proof.told.get("concurrency")
        at = f" at concurrency {concurrency}" if concurrency else ""
        yield f"A/A floor: the same text against itself moved the mean by {told}{at}{flaky}"
    if proof.drift is not None:
        drift = proof.drift
        word = "the baseline drifted" if drift["p"] is not None and drift["p"] < 0.01 else "no drift seen"
        yield f"drift: {word}; first half {drift['first']:.3f}, last half {drift['last']:.3f}, p={drift['p']:.2g}"
    if any(proof.unpaired.values()):
        gone = {k.replace("_", " "): n for k, n in proof.unpaired.items() if n}
        yield "not paired: " + ", ".join(f"{n} {k}" for k, n in gone.items())
    if proof.seal is not None:
        yield f"seal: {proof.seal['told']}"
    if proof.calls and (proof.calls.get("new") or proof.calls.get("replayed")):
        yield f"calls: {proof.calls['new']} new, {proof.calls['replayed']} from the journal; {proof.seconds:.1f} s"
