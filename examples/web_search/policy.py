"""A scripted agent for the offline web benchmark: it really searches and reads, and no model is involved.

What it does is a function of the conversation it is shown. Five habits decide how it goes about a question. Without a
lesson each rollout has each habit by chance (of its seed); a lesson of the library that states a habit turns it on. So
rollouts of one question differ, some win, and `contrast` writes the lesson of a habit that winners had and losers had
not, which may be right, luck, or wrong: the gate decides. Whether a habit helps is not scripted: the corpus decides.

    model="scripted/policy:play"
"""

from __future__ import annotations

import hashlib
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import reading
from reading import Page, alike, compared, names, next_names

from tfgrpo.types import Reply, Request, Usage

LESSONS: Mapping[str, str] = {
    "hop": "When the page found first does not hold the answer itself, search again for the name it leads to and "
    "read that page too, because many questions go over two pages.",
    "compare": "When a question compares two named things, search for each of them by its own name and read both "
    "pages, because one search seldom finds both.",
    "second": "When a search gave several results, read the two best instead of the first alone, because the first "
    "may share words by accident.",
    "short": "When you know the answer, give the name, date or number alone instead of the sentence it stands in, "
    "because anything more counts as wrong.",
    "only_names": "When a question holds names, search for these names alone instead of the whole question, because "
    "other words lead astray.",
}
"""Every habit, and the lesson that states it."""
CHANCE: Mapping[str, float] = {"hop": 0.15, "compare": 0.15, "second": 0.15, "short": 0.3, "only_names": 0.15}
"""How often a rollout has a habit that no lesson asks for."""
LONG_ANSWER = 8
"""Words from which on an answer counts as a sentence."""
_RESULT = re.compile(r"^\d+\. (.+)\n(https?://\S+)", re.MULTILINE)
_ATTEMPT = re.compile(r"^### Attempt (\d+): reward (-?[\d.]+)", re.MULTILINE)
_FENCED = re.compile(r"<(attempt|problem)-(\w+)>\n(.*?)\n</\1-\2>", re.DOTALL)
_CALL = re.compile(r"calls (\w+)\((\{.*?\})\)(?=;|$)", re.MULTILINE)
_PROPOSED = re.compile(r"^(\d+)\. ADD \(support \d+\): (.+?) \| reason", re.MULTILINE)


def play(request: Request) -> Reply:
    """Answer a request in the role it is made in."""
    roles = {"contrast": contrast, "consolidate": consolidate}
    said = roles[request.role](request) if request.role in roles else act(request)
    return said if isinstance(said, Reply) else Reply(said, usage=_usage(request, said))


# --- the agent -------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What the conversation shows so far."""

    question: str
    searches: list[tuple[str, list[tuple[str, str]]]]
    """Query, and title and address of each result."""
    pages: dict[str, Page]
    """By address, in the order of reading; pages that could not be read are empty."""


def act(request: Request) -> Reply | str:
    """Take the next step of a rollout: search, read, or answer."""
    seen, has = look(request.messages), habits(request)
    if any("Call no tool any more" in str(m.get("content")) for m in request.messages[-1:]):
        return final(seen, has)
    if not seen.searches:
        wanted = names(seen.question)
        return call(request, "web_search", query=" ".join(wanted) if "only_names" in has and wanted else seen.question)
    if not seen.pages and (found := seen.searches[0][1]):
        return call(request, "fetch_page", *({"url": url} for _, url in found[: 2 if "second" in has else 1]))
    for name in followed(seen, has):
        query, results = next(((q, r) for q, r in seen.searches if q == name), ("", []))
        if not query:
            return call(request, "web_search", query=name)
        if url := best(name, results, seen):
            return call(request, "fetch_page", url=url)
    return final(seen, has)


def followed(seen: Seen, has: set[str]) -> list[str]:
    """The names to look up after the first page, by the habits."""
    pair = compared(seen.question)
    if pair and "compare" in has:
        return list(pair)
    if "hop" not in has or not seen.pages:
        return []
    first = list(seen.pages.values())[: 2 if "second" in has else 1]
    return next_names(seen.question, first)[:1]


def best(name: str, results: Sequence[tuple[str, str]], seen: Seen) -> str:
    """The address of the first result not read yet whose title is that name; '' when it was read or is not there."""
    for title, url in results:
        if alike(name, title):
            return "" if url in seen.pages else url
    return ""


def final(seen: Seen, has: set[str]) -> str:
    """The answer, alone or in its sentence."""
    pages = [page for page in seen.pages.values() if page.text]
    short, sentence = reading.answer(seen.question, pages)
    return f"Answer: {short if 'short' in has or not sentence else sentence}"


def habits(request: Request) -> set[str]:
    """The habits of this rollout: those that a lesson states, and the others by chance."""
    told = str(request.messages[0].get("content") or "") if request.messages[0].get("role") == "system" else ""
    return {
        habit
        for habit, lesson in LESSONS.items()
        if lesson in told or _noise(f"{request.sampling.seed}:{request.attempt}:{habit}") < CHANCE[habit]
    }


def look(messages: Sequence[Mapping[str, Any]]) -> Seen:
    """Read the conversation."""
    question = next(str(m["content"]) for m in messages if m.get("role") == "user")
    seen = Seen(question.strip(), [], {})
    asked = {c["id"]: c["function"] for m in messages for c in m.get("tool_calls") or ()}
    for message in messages:
        function = asked.get(message.get("tool_call_id") or "")
        if message.get("role") != "tool" or function is None:
            continue
        arguments, text = json.loads(function["arguments"]), str(message.get("content") or "")
        if function["name"] == "web_search":
            seen.searches.append((arguments["query"], _RESULT.findall(text)))
        else:
            seen.pages[arguments["url"]] = _page(text)
    return seen


def _page(text: str) -> Page:
    head, _, body = text.partition("\n\n")
    title = re.search(r"^Title: (.+)$", head, re.MULTILINE)
    return Page(title[1], re.sub(r"^# .+\n+", "", body)) if title else Page("", "")


def call(request: Request, name: str, *many: Mapping[str, Any], **one: Any) -> Reply:
    """Call a tool once, or several times side by side."""
    turn = sum(m.get("role") == "assistant" for m in request.messages)
    calls = tuple(
        {
            "id": f"call-{turn}-{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }
        for number, arguments in enumerate(many or (one,))
    )
    return Reply("", "tool_calls", _usage(request, json.dumps(calls)), tool_calls=calls)


# --- the writer of lessons -------------------------------------------------------------------------------------------


def contrast(request: Request) -> str:
    """Propose the habit whose attempts earned most more than those without it; nothing where the library has it."""
    text = str(request.messages[-1]["content"])
    fenced = [(kind, body, match.start()) for match in _FENCED.finditer(text) for kind, body in [(match[1], match[3])]]
    question = next((body for kind, body, _ in fenced if kind == "problem"), "")
    rows: list[tuple[int, float, set[str]]] = []
    for match in _ATTEMPT.finditer(text):
        body = next((body for kind, body, at in fenced if kind == "attempt" and at > match.start()), "")
        rows.append((int(match[1]), float(match[2]), observed(question, body)))
    found = max((_gap(habit, rows), habit) for habit in LESSONS)
    if found[0] <= 0 or LESSONS[found[1]] in text:
        return edits()
    attempts = [number for number, _, _ in rows]
    reason = f"attempts that did so earned {found[0]:.2f} more on average than those that did not"
    return edits({"op": "ADD", "text": LESSONS[found[1]], "reason": reason, "attempts": attempts})


def observed(question: str, transcript: str) -> set[str]:
    """The habits that a transcript shows, from its calls and its answer alone."""
    calls = [(name, json.loads(arguments)) for name, arguments in _CALL.findall(transcript)]
    queries = [arguments["query"] for name, arguments in calls if name == "web_search"]
    pair = compared(question)
    found = set()
    if pair and set(pair) <= set(queries):
        found.add("compare")
    elif len(queries) > 1:
        found.add("hop")
    first = [arguments for name, arguments in calls[1:3] if name == "fetch_page"]
    if len(first) == 2:
        found.add("second")
    if queries and queries[0] != question.strip():
        found.add("only_names")
    answered = transcript.rpartition("Answer:")[2]
    if len(answered.split()) < LONG_ANSWER:
        found.add("short")
    return found


def _gap(habit: str, rows: Sequence[tuple[int, float, set[str]]]) -> float:
    with_it = [reward for _, reward, shown in rows if habit in shown]
    without = [reward for _, reward, shown in rows if habit not in shown]
    return statistics.fmean(with_it) - statistics.fmean(without) if with_it and without else 0.0


def consolidate(request: Request) -> str:
    """Take every different proposal as it is."""
    told: dict[str, list[int]] = {}
    for number, words in _PROPOSED.findall(str(request.messages[-1]["content"])):
        told.setdefault(words.strip(), []).append(int(number))
    return edits(*({"op": "ADD", "text": words, "attempts": numbers} for words, numbers in told.items()))


def edits(*operations: dict[str, Any]) -> str:
    """A reply with these operations."""
    whole = [{"ids": [], "reason": "proposed", "when": None, **operation} for operation in operations]
    return json.dumps({"edits": whole}, ensure_ascii=False)


def _usage(request: Request, said: str) -> Usage:
    return Usage(sum(len(str(m.get("content") or "")) for m in request.messages) // 4, len(said) // 4)


def _noise(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
