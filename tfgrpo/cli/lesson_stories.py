"""`tfgrpo lessons list` and `show`: what is known about lessons, from the table to the rollouts they rest on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from experience_db import Blame, Edit, Evidence, Journal, Source, Store, own_words
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_listing import SortKey, print_lessons
from tfgrpo.cli.lesson_words import effect_in_words, number_text
from tfgrpo.lessons.edits import estimate_tokens
from tfgrpo.lessons.scanners import visible
from tfgrpo.prompting.transcript import cut_to_tokens

Lib = Annotated[str, typer.Option("--library", help="NAME or NAME@VERSION.")]
Id = Annotated[int, typer.Argument(help="Permanent id of the lesson.")]
Group = Mapping[str, Any]
MOST_TOKENS = 200
"""Length at which the text of a rollout is cut, unless all is asked for."""


def list_(
    library: Lib = "default",
    db: o.Db = None,
    sort: Annotated[SortKey, typer.Option("--sort", help="Largest first, except by id.")] = SortKey.ID,
    min_effect: Annotated[float | None, typer.Option("--min-effect", help="Only effects from here on.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only effects of this kind: gate, leave-one-out, dropout, none, ...")
    ] = None,
    json_: o.Json = False,
) -> None:
    """List the lessons of a library: text, measured effect, sources, times shown, version born, length."""
    print_lessons(o.db_path(db), library, sort, min_effect, kind, as_json=json_)


def show(
    lesson_id: Id,
    library: Lib = "default",
    db: o.Db = None,
    all_: Annotated[bool, typer.Option("--all", help="Whole texts of rollouts and contrasts.")] = False,
    json_: o.Json = False,
) -> None:
    """Show one lesson's whole story: words, edits, the rollouts and the contrast behind them, evidence, cost."""
    with Store.open(o.db_path(db), readonly=True) as store:
        story = store.blame(library.partition("@")[0], lesson_id)
        behind = tuple(find_origins(store, story))
        if json_:
            o.print_json({**dataclasses.asdict(story), "origins": [dataclasses.asdict(x) for x in behind]})
            return
        _print_story(story, behind, None if all_ else MOST_TOKENS)


@dataclass(frozen=True, slots=True)
class EditOrigin:
    """The group that an edit rests on, and what the summarizer said about it."""

    source: Source
    question: str
    rollouts: tuple[Mapping[str, Any], ...]
    """Those that the edit names: `index`, `reward`, `answer`."""
    others: int
    """Further rollouts of the group."""
    contrast: str
    """The reply that proposed the edit; empty where the journal does not hold it."""
    tokens: int
    """What the group and the contrast consumed."""


def find_origins(store: Store, story: Blame) -> Iterator[EditOrigin]:
    """Find the groups behind a lesson, where this database has them."""
    seen: dict[tuple[str, int], tuple[Group, ...]] = {}
    for source in dict.fromkeys(s for applied in story.edits for s in applied.edit.sources):
        at = (source.run, source.step)
        if at not in seen:
            seen[at] = store.groups(*at)
        for group in seen[at]:
            if group["problem"]["id"] == source.problem_id:
                yield _origin(store, source, group)


def _origin(store: Store, source: Source, group: Group) -> EditOrigin:
    question = str(group["problem"].get("question", ""))
    calls = [call for call in Journal(store).calls(source.run, "contrast") if question in _said(call.request)]
    numbered = {r["index"]: (r, reward) for r, reward in zip(group["rollouts"], group["rewards"], strict=True)}
    named = [
        {"index": i, "reward": numbered[i][1], "answer": numbered[i][0]["answer"]}
        for i in source.rollouts
        if i in numbered
    ]
    usages = [r["usage"] for r in group["rollouts"]] + [dataclasses.asdict(call) for call in calls[:1]]
    tokens = sum(u["prompt_tokens"] + u["completion_tokens"] for u in usages)
    text = str(calls[0].reply.get("text", "")) if calls else ""
    return EditOrigin(source, question, tuple(named), len(numbered) - len(named), text, tokens)


def _said(request: Mapping[str, Any]) -> str:
    return "\n".join(str(m.get("content") or "") for m in request.get("messages", ()))


def _print_story(story: Blame, behind: Sequence[EditOrigin], most: int | None) -> None:
    lesson = story.lesson
    typer.echo(f"[{story.lesson_id}] {visible(lesson.text) if lesson else '(deleted)'}")
    if lesson and lesson.tainted:
        typer.echo("  tainted by tool output: strangers had a part in its words")
    if lesson:
        told = own_words(story.evidence, lesson.changed)
        size = f"{estimate_tokens(lesson.text)} tokens"
        typer.echo(f"  {effect_in_words(told)}; shown {story.shown} times; born in version {lesson.born}; {size}")
    for applied in story.edits:
        typer.echo(f"  version {applied.version}: {edit_in_words(applied.edit)}")
        for source in applied.edit.sources:
            typer.echo(
                f"    from problem {source.problem_id}, rollouts {list(source.rollouts)}, run {source.run or '-'}, "
                f"model {source.model or '-'}, template {source.template or '-'}"
            )
            for origin in behind:
                if origin.source == source:
                    _print_origin(origin, most)
    for item in story.evidence:
        typer.echo(f"  {item.verdict or 'measured'}: {_measured(item)}{': ' + item.reason if item.reason else ''}")
    _print_cost(story, behind)


def _print_origin(origin: EditOrigin, most: int | None) -> None:
    typer.echo(f"      problem: {_cut(origin.question, most)}")
    for rollout in origin.rollouts:
        reward, answer = number_text(rollout["reward"]), _cut(rollout["answer"], most)
        typer.echo(f"      rollout {rollout['index']}, reward {reward}: {answer}")
    if origin.others:
        typer.echo(f"      and {origin.others} more rollouts of the group")
    if origin.contrast:
        typer.echo(f"      contrast: {_cut(origin.contrast, most)}")


def _print_cost(story: Blame, behind: Sequence[EditOrigin]) -> None:
    proving = sum(_spent(item) for item in story.evidence)
    learning = sum(origin.tokens for origin in {(x.source.run, x.source.step, x.question): x for x in behind}.values())
    typer.echo(f"  cost: {learning:,} tokens for the groups and contrasts behind it, {proving} rollouts to measure it")


def _spent(item: Evidence) -> int:
    """Rollouts made for a measurement of this lesson; a pass over the whole library counts for all its lessons."""
    spent = item.detail.get("rollouts")
    return int(spent.get("new", 0)) if isinstance(spent, Mapping) else 0


def _measured(item: Evidence) -> str:
    """One measurement in words, whatever its verdict was."""
    model = item.detail.get("model")
    by = f" with {model}" if model and item.verdict == "" else ""
    return effect_in_words([dataclasses.replace(item, verdict="")]) + by


def _cut(text: str, most: int | None) -> str:
    return " ".join((text if most is None else cut_to_tokens(text, most)).split())


def edit_in_words(change: Edit) -> str:
    """Return an edit as one line."""
    ids = f" {', '.join(map(str, change.ids))}" if change.ids else ""
    text = f" {change.text!r}" if change.text else ""
    return f"{change.op.value}{ids}{text}" + (f" ({change.reason})" if change.reason else "")
