"""A loopback endpoint for comparing searches: a toy task whose rules a reflection finds one by one.

    python -m support.search_server [--latency 0.05] [--limited 0.02] [--null 0.01] [--parts]     # prints its URL

Twelve made-up words stand for operations. A solver that was told the right rule of a word is right nine times in ten,
else one time in seven; its luck is a function of problem and seed, so two prompts that differ meet the same luck. A
reflection, whoever asks for it, finds for up to two of the attempts that lost reward a rule of their words: the right
one six times in ten, else one that does nothing. It writes edits where edits are asked for, else a whole new prompt.
A worked example of a word counts as its rule, and MIPROv2's questions are answered as well (`instruction_writer`).
With `--parts` the rules of the last six words help in the description of the tool `figures` alone, and a reflection on
one part of the prompt finds the rules that belong there: a search has to write two components.
`GET /stats` tells what was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import re
import sys
from typing import Any

from support.fast_server import Endpoint
from support.instruction_writer import written

WORDS = ("zorp", "blick", "dax", "wug", "fep", "tiv", "mork", "glim", "snee", "prell", "quib", "yorm")
RULE = "When a problem says {word}, {how}."
TOOL = "Works with figures."
"""What the tool says of itself at the start."""
ABOUT_TOOL = "It is: the description of the tool"
"""How one of the questions says which part it is about."""
RULES = re.compile(r"When a problem says \w+, [^.]+\.")
ASKED = re.compile(r"What is (\d+) (\w+) (\d+)\?")
LOST = re.compile(r"reward 0\.00|Wrong", re.IGNORECASE)


def rows(count: int, seed: int) -> list[dict[str, str]]:
    """Return different problems, the words in turn; figures tell learning, held-out and test problems apart."""
    draw = random.Random(f"rows {seed}")
    pairs = draw.sample([(a, b) for a in range(100, 400) for b in range(10, 99)], count)
    return [row(a, WORDS[i % len(WORDS)], b) for i, (a, b) in enumerate(pairs)]


def row(a: int, word: str, b: int) -> dict[str, str]:
    """Return one problem."""
    return {"question": f"What is {a} {word} {b}?", "answer": str(right(a, word, b))}


def right(a: int, word: str, b: int) -> int:
    """Return what a word makes of two figures."""
    return a * (2 + WORDS.index(word)) + b


def rule(word: str, *, good: bool) -> str:
    """Return the rule of a word, or one that does nothing."""
    how = (
        f"take the first figure {2 + WORDS.index(word)} times and add the second" if good else "read both figures twice"
    )
    return RULE.format(word=word, how=how)


def luck(*of: object) -> float:
    """Return a number in [0, 1) that depends on its arguments alone."""
    return int.from_bytes(hashlib.sha256(repr(of).encode()).digest()[:6], "big") / 2**48


def attempt(system: str, question: str, seed: int, described: str | None = None) -> str:
    """Answer a problem; where a tool is described, the rules of some words count there alone."""
    found = ASKED.search(question)
    assert found is not None, question
    a, word, b = int(found[1]), found[2], int(found[3])
    told = system if described is None or not of_tool(word) else described
    knows = rule(word, good=True) in told or shows(told, word)
    chance = 0.9 if knows else 1 / 7
    return str(right(a, word, b) if luck(question, seed) < chance else a - b)


def shows(told: str, word: str) -> bool:
    """Whether a text holds a problem with this word and, right behind it, the right answer."""
    return any(
        found[2] == word and re.search(rf"\b{right(int(found[1]), word, int(found[3]))}\b", told[found.end() :][:80])
        for found in ASKED.finditer(told)
    )


def of_tool(word: str) -> bool:
    """Whether the rule of a word belongs into the description of the tool, where there is one."""
    return WORDS.index(word) >= len(WORDS) // 2


def found_rules(text: str, known: str, tool: bool | None = None) -> list[str]:
    """Return up to two rules for words of attempts that lost reward, as far as `known` does not hold them.

    `tool` says to which part they belong; None takes all.
    """
    head, *parts = re.split(r"(?=### Attempt \d|# Example \d)", text)
    asked = [ASKED.search(part) or ASKED.search(head) for part in parts if LOST.search(part)]
    lost = [found[2] for found in asked if found]
    lost = [word for word in lost if tool is None or of_tool(word) is tool]
    drawn = [rule(word, good=luck("found", word, text) < 0.6) for word in dict.fromkeys(lost)]
    return [said for said in drawn if said not in known][:2]


def reply(body: dict[str, Any], *, parts: bool = False) -> str:
    """Answer a chat body: a reflection that wants edits, one that wants a new prompt, or a problem."""
    text = body["messages"][-1]["content"]
    told = written(body["messages"], WORDS, guessed)
    if told is not None:
        return told
    if ABOUT_TOOL in text:
        known, _, attempts = text.partition("## The attempts")
        held = RULES.findall(known.partition(ABOUT_TOOL)[2])
        fresh = found_rules(attempts, " ".join(held), tool=True)
        edits = [{"op": "ADD", "ids": [], "text": " ".join((TOOL, *held, *fresh)), "reason": "lost", "attempts": [1],
                 "when": None}] if fresh else []  # fmt: skip
        return json.dumps({"edits": edits})
    if "reply with the JSON object" in text:
        known, _, attempts = text.partition("## The attempts")
        attempts = known.partition("## The problem")[2] + attempts
        fresh = found_rules(attempts, known.partition("## The library now")[2], tool=False if parts else None)
        edits = [{"op": "ADD", "ids": [], "text": t, "reason": "it was lost", "attempts": [1], "when": None}
                for t in fresh]  # fmt: skip
        return json.dumps({"edits": edits})
    if "Your task is to write a new instruction" in text:
        known = text.partition("```\n")[2].partition("\n```")[0]
        about = known.startswith(TOOL) if parts else None
        return "```\n" + "\n".join([known, *found_rules(text.partition("\n```")[2], known, about)]) + "\n```"
    described = "\n".join(str(t["function"]["description"]) for t in body.get("tools") or ())
    before = "\n".join(str(m["content"]) for m in body["messages"][:-1])
    said = attempt(before, text, int(body.get("seed") or 0), described if parts else None)
    return f"[[ ## answer ## ]]\n{said}\n\n[[ ## completed ## ]]" if "[[ ## answer ## ]]" in text else said


def guessed(word: str, asked: str) -> str:
    """Return a rule for a word that nobody tried yet; of anything else a text to sort by."""
    return rule(word, good=luck("guessed", word, asked) < 0.6) if word in WORDS else str(luck(word, asked))


class Toy(Endpoint):
    """One connection to the toy task."""

    latency = 0.0
    limited = 0.0
    null = 0.0
    parts = False

    def answer(self, body: dict[str, Any]) -> None:
        """Send the reply once its time has come; faults hit calls by their number."""
        count = int(body.get("n") or 1)
        self.stats["calls"] += count
        fate = luck("fate", self.stats["calls"])
        kind = "reflections" if "seed" not in body else "attempts"
        self.stats[kind] += count
        if fate < self.limited:
            self.stats["limited"] += 1
            payload = b'{"error": {"message": "slow down"}}'
            return self.later(b"429 Too Many Requests", payload)
        bodies = [{**body, "seed": body["seed"] + j} if "seed" in body else body for j in range(count)]
        said = [reply(each, parts=self.parts) for each in bodies]
        prompt = sum(len(m["content"]) for m in body["messages"]) // 4
        usage = {"prompt_tokens": prompt, "completion_tokens": sum(len(s) // 4 + 1 for s in said)}
        self.stats["tokens"] += sum(usage.values())
        if fate > 1 - self.null:
            self.stats["null"] += 1
            said = [None for _ in said]  # type: ignore[misc]
        choices = [
            {"index": i, "message": {"role": "assistant", "content": s}, "finish_reason": "stop"}
            for i, s in enumerate(said)
        ]
        payload = json.dumps({"id": "x", "object": "chat.completion", "choices": choices, "usage": usage}).encode()
        return self.later(b"200 OK", payload)

    def later(self, status: bytes, payload: bytes) -> None:
        """Send one response after the latency."""
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(payload))
        asyncio.get_running_loop().call_later(self.latency, self.transport.write, head + payload)

    def send(self, payload: bytes) -> None:
        """Answer a look at the counts."""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(payload)
        self.transport.write(head + payload)


async def serve(options: argparse.Namespace) -> None:
    """Listen until stdin closes."""
    Toy.stats = dict.fromkeys(("calls", "attempts", "reflections", "tokens", "limited", "null"), 0)
    Toy.latency, Toy.limited, Toy.null = options.latency, options.limited, options.null
    Toy.parts = options.parts
    server = await asyncio.get_running_loop().create_server(Toy, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--limited", type=float, default=0.0)
    parser.add_argument("--null", type=float, default=0.0)
    parser.add_argument("--parts", action="store_true")
    asyncio.run(serve(parser.parse_args()))
