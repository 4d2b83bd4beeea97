"""`tfgrpo reproduce`: run a pinned recipe, with its price before and a verdict after."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from experience_db.codec import nan_to_none
from tfgrpo.cli import options as o
from tfgrpo.errors import UsageError
from tfgrpo.studies import recipe_file
from tfgrpo.studies import reproduce as running
from tfgrpo.studies.estimate import CostEstimate
from tfgrpo.types import Step


def reproduce(
    name: Annotated[str | None, typer.Argument(help="Recipe, or path of its .toml; none lists them.")] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only say what it would cost.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Play every stage on a few problems with a model that only pretends: no key."),
    ] = False,
    problems: Annotated[
        int | None, typer.Option(min=2, help="Use so many problems of each set; the figures are then not the recipe's.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Ask this model in place of the recipe's.")] = None,
    judge: Annotated[str | None, typer.Option("--judge", help="Judge by this model in place of the recipe's.")] = None,
    base_url: o.BaseUrl = None,
    db: o.Db = None,
    set_: o.Set = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go on although it costs money.")] = False,
    json_: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Run a pinned recipe: its price before, and after it a verdict: inside, outside, or too few problems to tell.

    The same command goes on where it was stopped. A recipe that asks a hosted model runs only with --yes.
    """
    if name is None:
        _list(json_)
        return
    recipe = recipe_file.load_recipe(name)
    consent = yes or dry_run or not recipe.hosted
    planned = running.plan_recipe(
        recipe,
        problems=problems,
        rehearse=dry_run,
        only_price=estimate or not consent,
        model=model or "",
        judge=judge or "",
        base_url=base_url,
        overrides=set_,
    )
    if not json_ or not quiet:
        _print_plan(planned, err=json_)
    if estimate:
        if json_:
            o.print_json({"recipe": recipe.name, "estimate": _priced(planned.estimate), "notes": list(planned.notes)})
        return
    if not consent:
        raise UsageError(f"{recipe.name} asks {planned.asked['model']} so often; add --yes to run it, or --dry-run")
    place = db or (Path(f"{recipe.name}-dry-run.db") if dry_run else Path(f"{recipe.name}.db"))

    def tell(step: Step) -> None:
        if not quiet:
            kept = sum(group.status == "kept" for group in step.groups_P)
            groups = f"{kept} of {len(step.groups_P)} groups with a contrast"
            typer.echo(f"step {step.index}: version {step.version_after}, {groups}", err=True)

    found = asyncio.run(running.reproduce(planned, db=place, on_step=tell))
    if json_:
        o.print_json(_told(found))
    else:
        _print(found, place)


def _list(json_: bool) -> None:
    """Print what can be reproduced."""
    known = [recipe_file.load_recipe(name) for name in recipe_file.recipe_names()]
    if json_:
        o.print_json({"recipes": {r.name: {"about": r.about, "model": r.learn.model} for r in known}})
        return
    for each in known:
        typer.echo(f"{each.name:18s}{each.about}")


def _print_plan(planned: running.Plan, *, err: bool) -> None:
    """Print what will be done and what it should cost, and whose figures are expected."""
    recipe = planned.recipe
    typer.echo(f"{recipe.name}: {recipe.about}", err=err)
    sets = ", ".join(
        f"{test.dataset} ({len(p)}, k={test.k})" for test, p in zip(recipe.tests, planned.tests_P, strict=True)
    )
    typer.echo(f"learns from {len(planned.learning)} problems of {recipe.learn.dataset}; tests on {sets}", err=err)
    for item in planned.estimate.items:
        count = f"{item.rollouts} in " if item.rollouts else ""
        tokens = f"{item.prompt_tokens:,} prompt and {item.completion_tokens:,} completion tokens"
        typer.echo(f"  {item.what}: {count}{item.calls} calls, {tokens}", err=err)
    usage, price = planned.estimate.usage, planned.estimate.usd
    money = "at an unknown price" if price is None else f"{price:.2f} USD"
    total = f"{planned.estimate.calls} calls, {usage.prompt_tokens:,} prompt and {usage.completion_tokens:,} completion"
    typer.echo(f"estimate: at most {total} tokens, {money} ({recipe.cost.basis})", err=err)
    for test in recipe.tests:
        if test.published:
            typer.echo(f"published for {test.dataset}: {test.published}", err=err)
        typer.echo(
            f"expected for {test.dataset}: {test.figure} {test.low:+.3f} to {test.high:+.3f}: {test.basis}", err=err
        )
    for note in planned.notes:
        typer.echo(f"note: {note}", err=True)


def _print(found: running.Reproduction, place: Path) -> None:
    """Print the verdicts."""
    for outcome in found.outcomes:
        typer.echo(running.verdict_in_words(outcome))
    usage = found.learned["usage"]
    spent = f"{usage['prompt_tokens']:,} prompt and {usage['completion_tokens']:,} completion tokens in learning"
    typer.echo(f"used: {spent}; library {found.learned['library']!r}, version {found.learned['version']}, in {place}")
    typer.echo(f"verdict: {found.verdict}")


def _told(found: running.Reproduction) -> dict[str, Any]:
    tests = [
        {
            "dataset": each.test.dataset,
            "figure": each.test.figure,
            "value": each.figure,
            "ci": [each.low, each.high],
            "n": each.n,
            "k": each.test.k,
            "expected": [each.test.low, each.test.high],
            "basis": each.test.basis,
            "published": each.test.published,
            "verdict": each.verdict,
            "eval": each.summary,
        }
        for each in found.outcomes
    ]
    told: Mapping[str, Any] = {
        "recipe": found.plan.recipe.name,
        "verdict": found.verdict,
        "pinned": found.plan.pinned,
        "notes": list(found.plan.notes),
        "estimate": _priced(found.plan.estimate),
        "learn": found.learned,
        "tests": tests,
    }
    return dict(nan_to_none(told))


def _priced(price: CostEstimate) -> dict[str, Any]:
    usage = price.usage
    return {
        "calls": price.calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "usd": price.usd,
        "items": [asdict(item) for item in price.items],
    }
