"""A scripted model of a support desk, so that the notebooks run offline: it guesses the team unless a lesson tells it.

It stands where your model would: `model="scripted/support_desk:answer"` becomes `model="openai/NAME"`.
"""

import json
import random
import re

from tfgrpo.types import Reply, Request

TEAMS = ("account", "billing", "shipping")
TEAM_OF = {"password": "account", "login": "account", "invoice": "billing", "refund": "billing", "parcel": "shipping",
           "courier": "shipping"}  # fmt: skip


def questions(count: int, start: int = 0) -> list[dict[str, str]]:
    """Return questions with the team that answers them, words in turn."""
    words = [list(TEAM_OF)[i % len(TEAM_OF)] for i in range(start, start + count)]
    asked = [f"About my {word}, order {1000 + i}: what now?" for i, word in enumerate(words, start)]
    return [{"question": text, "team": TEAM_OF[word]} for text, word in zip(asked, words, strict=True)]


def answer(request: Request) -> Reply:
    """Reply as the role asks."""
    texts = [str(message["content"]) for message in request.messages]
    word = next((word for word in TEAM_OF if word in texts[-1]), "")
    if request.role in ("rollout", "gate", "evaluate"):
        told = re.search(rf"mentions '{word}', send it to (\w+)", "\n".join(texts)) if word else None
        drawn = random.Random(f"{texts[-1]}{request.sampling.seed}{request.attempt}{'careful' in texts[0]}")
        knows = told or drawn.random() < (0.5 if "careful" in texts[0] else 0.2)
        team = TEAM_OF[word] if knows and word else drawn.choice(TEAMS)
        return Reply(f"This is for the team {team}. Answer: {team}")
    if request.role == "contrast":
        word = next((word for word in TEAM_OF if word in "\n".join(texts)), "")
        lesson = f"When a customer mentions '{word}', send it to {TEAM_OF[word]}, which handles that."
        edit = {"op": "ADD", "ids": [], "text": lesson, "reason": "better attempts did", "attempts": [1], "when": None}
        return Reply(json.dumps({"edits": [] if lesson in "\n".join(texts) else [edit]}))
    found = re.findall(r"^(\d+)\. ADD \(support \d+\): (.+?) \| reason", texts[-1], re.MULTILINE)
    each = [{"op": "ADD", "ids": [], "text": t, "reason": "seen", "attempts": [int(n)], "when": None} for n, t in found]
    return Reply(json.dumps({"edits": each}))
