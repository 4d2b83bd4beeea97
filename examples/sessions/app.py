"""A support desk that gets better over an afternoon of simulated users: `python app.py`, then look at afternoon.svg.

The agent is scripted, so that this runs anywhere in a minute, and users are simulated; one in ten presses the wrong
thumb. Put your own agent into `agent`, your users' thumbs into `s.report`, and let a model propose what PROPOSED holds:
`tfgrpo learn --from-sessions`.
"""

import random
import sys

from plot import plot

from experience_db import Edit, Op, Source, Store, open_library
from tfgrpo.lessons.review import ReviewRules
from tfgrpo.sessions import SessionRules, cycle, enqueue
from tfgrpo.sessions.similar_tasks import SimilarTasks
from tfgrpo.types import Proposal

TASKS = {"refund": "refund for a damaged parcel", "login": "password reset of a locked account"}
PROPOSED = (
    ("refund", "Ask for a photo first."), ("login", "Say it is not possible."), ("login", "Send the reset link.")
)  # fmt: skip
GOOD = {"Ask for a photo first.": 0.45, "Send the reset link.": 0.45, "Say it is not possible.": -0.3}


def agent(messages, topic, dice):
    """Answer; with the right advice in the prompt it is right more often."""
    prompt = str(messages)
    chance = 0.35 + sum(worth for kind, text in PROPOSED for worth in [GOOD[text]] if kind == topic and text in prompt)
    return "That solved it." if dice.random() < chance else "I am not sure."


def afternoon(db, sessions=1500, seed=0):
    """Serve users, learn now and then, and return for each session (arm, solved)."""
    dice, seen = random.Random(seed), []
    with Store.open(db) as store:
        head = store.create_library("desk")
        edits = [Edit(Op.ADD, text, sources=(Source(SimilarTasks().group(TASKS[t])),)) for t, text in PROPOSED]
        enqueue(store, head, [Proposal(edit) for edit in edits], ReviewRules())
        library = open_library("desk", db=db)
        for number in range(sessions):
            if number % 50 == 0:
                for event in cycle(store, "desk", SessionRules(patience=0.5, promote="serve")):
                    print(number, event.message) if event.kind in ("promoted", "rejected", "withdrawn") else None
            topic = dice.choice(list(TASKS))
            with library.session(task=TASKS[topic], user=dice.randrange(200), tainted=False, draw=dice.random) as s:
                answer = agent(s.inject([{"role": "user", "content": f"I need a {TASKS[topic]}"}]), topic, dice)
                solved = "solved" in answer
                s.report(float(solved if dice.random() < 0.9 else not solved))
            seen.append((s.arm, solved))
    return seen


if __name__ == "__main__":
    plot(afternoon(sys.argv[1] if len(sys.argv) > 1 else "desk.db"), "afternoon.svg")
