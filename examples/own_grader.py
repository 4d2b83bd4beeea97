"""Grade with your own function: a number, a bool, a Score with words for the summarizer, or None for `cannot tell`.

Run: python examples/own_grader.py   (no key, no network)
"""

from pathlib import Path

import tfgrpo

PROBLEMS = Path(__file__).parent / "quickstart" / "problems.jsonl"


def last_step(problem: tfgrpo.Problem, rollout: tfgrpo.Rollout) -> tfgrpo.Score:
    """Give full marks for the last result alone, and half for any right result on the way."""
    wanted = (problem.answer or "").split()
    said = rollout.answer.rpartition("{")[2].partition("}")[0].split()
    if said == wanted:
        return tfgrpo.Score(1.0, "all results are right")
    return tfgrpo.Score(0.5 if set(said) & set(wanted) else 0.0, f"said {said}, wanted {wanted}")


if __name__ == "__main__":
    result = tfgrpo.evaluate_sync(PROBLEMS, model="tiny", grader=last_step, db="grader.db", k=2)
    print(f"mean@2 {result.summary['mean']:.3f}, interval {result.summary['ci']}")
