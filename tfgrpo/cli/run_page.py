"""What `tfgrpo runs show` prints of one run. Of the store it loads the part about runs, and no parser of commands."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from experience_db.codec import to_json
from experience_db.records import Run
from experience_db.runs import Runs
from tfgrpo.cli.lesson_words import number_text


def run_named(store: Runs, name: str) -> Run:
    """Return the run of that name or id, the newest for `latest`; raises UnknownRun."""
    every = store.runs() if name == "latest" else ()
    return every[-1] if every else store.find_run(name) or store.run(name)


def print_run(db: Path, name: str, *, as_json: bool) -> None:
    """Print one run, named or `latest`, as lines or as one JSON object; raises StoreError where there is none."""
    with Runs.open(db, readonly=True) as store:
        run = store.with_current_status(run_named(store, name))
        steps, used = store.steps(run.id), store.usage(run.id)
    if as_json:
        print(to_json({**dataclasses.asdict(run), "steps": [dataclasses.asdict(step) for step in steps]}))
        return
    print(f"{run.name} ({run.id}): {run.kind}, {run.status}, library {run.library} from version {run.base_version}")
    print(f"  on {run.dataset} with {run.config.get('model')}, grader {run.config.get('grader')}")
    _print_outcome(run)
    for step in steps:
        told = step.summary
        groups = ", ".join(f"{n} {kind}" for kind, n in (told.get("groups") or {}).items())
        edits = ", ".join(f"{n} {kind}" for kind, n in (told.get("edits") or {}).items())
        print(
            f"  step {step.step}: version {step.version_before} -> {step.version_after}; reward "
            f"{number_text(told.get('reward'))}; groups: {groups}; edits: {edits}"
        )
    for role, row in used.items():
        print(f"  {role}: {row.calls} calls, {row.prompt_tokens:,} + {row.completion_tokens:,} tokens")
    _print_settings(run)


def _print_outcome(run: Run) -> None:
    held = (run.summary or {}).get("heldout") or {}
    if run.status == "died":
        print("  its process is gone; the same command goes on from here")
    if held:
        from tfgrpo.cli.heldout_words import heldout_lines

        print("\n".join(f"  {line}" for line in heldout_lines(held)))
    if (lessons := (run.summary or {}).get("lessons")) is not None:
        print(f"  {lessons} lessons in version {(run.summary or {}).get('version')}")
    if block := (run.summary or {}).get("block"):
        print(f"  {block}")


def _print_settings(run: Run) -> None:
    """Print the settings that are not the defaults, as one would give them with --set."""
    from tfgrpo import config as configuration
    from tfgrpo.learning.resume import dotted_keys

    usual = dotted_keys(configuration.to_table(configuration.LearnConfig()))
    told = ("model", "grader", "library", "heldout_problems")
    own = {
        k: v for k, v in dotted_keys(run.config).items() if k not in told and usual.get(k) != v and v not in ({}, ())
    }
    print("settings other than the defaults (all of them: --json):" if own else "settings: the defaults")
    for key, value in sorted(own.items()):
        print(f"  {key} = {value}")
