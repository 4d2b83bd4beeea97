"""`tfgrpo prove`: does this text help? A verdict with a stated error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tfgrpo import config as configuration
from tfgrpo.cli import options as o
from tfgrpo.errors import BudgetReached, EndpointError, NothingLearned, UnusableModel, UsageError
from tfgrpo.proving import Proof, Verdict
from tfgrpo.proving.proof import EXITS, failed_proof
from tfgrpo.system.redact import hide_secrets

Text = Annotated[
    list[str] | None,
    typer.Argument(help="A prompt, SKILL.md or AGENTS.md file, a folder of skills, or a library as NAME[@VERSION]."),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        help="The tasks: a file as in learn, a named set, inspect:FILE.py@TASK, lm-eval:TASK, promptfoo:CONFIG, "
        "verifiers:MODULE@TASKSET.",
    ),
]
Grader = Annotated[str | None, typer.Option("--grader", help="As in learn.")]
Model = Annotated[str | None, typer.Option("--model", help="As in learn.")]
Against = Annotated[str, typer.Option("--against", help="A text to compare with, or none; stored results in a replay.")]
As = Annotated[str | None, typer.Option("--as", help="How the model meets a text: system, lessons or file.")]
Detect = Annotated[float | None, typer.Option("--detect", help="Effect that should be seen, as 0.05.")]
Replay = Annotated[Path | None, typer.Option("--replay", help="Stored results; no model is called.")]
Together = Annotated[
    bool, typer.Option("--together", help="Several texts: also all at once, and each left out of all.")
]
Control = Annotated[str | None, typer.Option("--control", help="Also against filler, one-shot, or both.")]
Seal = Annotated[str | None, typer.Option("--seal", help="Seal the tasks for this purpose, and count who opens them.")]
Output = Annotated[
    list[Path] | None, typer.Option("-o", "--output", help="Also write page.html, comment.md, badge.svg or x.json.")
]
Pairs = Annotated[int | None, typer.Option("--pairs", min=2, help="Pairs at most; default 128.")]
Alpha = Annotated[float, typer.Option("--alpha", help="Chance at most of a wrong `helps`, or `harms`.")]
FloorOf = Annotated[
    int | None, typer.Option("--floor", min=0, help="Problems tried twice with the same text; default 32.")
]
Exit = Annotated[str | None, typer.Option("--exit", help="Other exit codes, as no-worth=0,cannot-tell=0.")]
Baseline = Annotated[str | None, typer.Option("--baseline", help="Replay: the arm without the text.")]
Metric = Annotated[str | None, typer.Option("--metric", help="Replay: which score.")]
Range = Annotated[str | None, typer.Option("--range", help="Replay: least and largest score, as 1,5.")]
Form = Annotated[str | None, typer.Option("--form", help="Replay: the format, where it is mistaken.")]

NEEDED = {
    "on": 'the tasks, --on tasks.jsonl, one a line: {"question": "...", "answer": "..."} (`tfgrpo tasks from README.md`'
    " proposes some)",
    "grader": "to know how answers are judged, such as --grader exact, numeric or choice (`tfgrpo datasets show FILE` "
    "proposes one)",
    "model": "a model, such as --model local/smollm2-135m or openai/gpt-5-mini (`tfgrpo models list`)",
}
"""What a live proof cannot do without, and what to write."""
LIVE = {
    "model": "--model", "seal": "--seal", "control": "--control", "together": "--together", "pairs": "--pairs",
    "floor": "--floor", "as_": "--as", "base_url": "--base-url", "db": "--db", "seed": "--seed", "limit": "--limit",
    "concurrency": "--concurrency", "budget_calls": "--budget-calls", "budget_tokens": "--budget-tokens",
    "budget_usd": "--budget-usd", "budget_seconds": "--budget-seconds", "tools": "--tools", "set_": "--set",
    "field": "--field", "prompts": "--prompts",
}  # fmt: skip
"""Options that say how to ask a model, and mean nothing in a replay."""


def prove(
    text: Text = None,
    on: On = None,
    grader: Grader = None,
    model: Model = None,
    against: Against = "none",
    as_: As = None,
    detect: Detect = None,
    replay: Replay = None,
    together: Together = False,
    control: Control = None,
    seal: Seal = None,
    output: Output = None,
    pairs: Pairs = None,
    alpha: Alpha = 0.05,
    floor: FloorOf = None,
    exit_: Exit = None,
    baseline: Baseline = None,
    metric: Metric = None,
    range_: Range = None,
    form: Form = None,
    base_url: o.BaseUrl = None,
    db: o.Db = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn; default 0.")] = None,
    limit: Annotated[int | None, typer.Option(help="So many problems only, drawn by the seed.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Model calls in flight, at most; default 64.")] = None,
    budget_calls: Annotated[int | None, typer.Option(help="Model calls at most.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Tokens at most.")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="Money at most.")] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="Time at most.")] = None,
    tools: o.Tools = None,
    set_: o.Set = None,
    field: o.Field = None,
    prompts: o.Prompts = None,
    quiet: o.Quiet = False,
    json_: o.Json = False,
) -> None:
    """Say whether a text helps: with against without, on the same problems and seeds, until it is clear.

    Exit code 0 helps, 1 harms or no worth found, 2 usage, 3 cannot tell yet. An interrupted proof goes on where it was.
    """
    codes = exits(exit_)
    _check_places(output or [])
    asked = {k: v for k, v in locals().items() if k not in ("codes", "exit_", "json_", "output", "quiet")}
    proof = _stored(asked) if replay is not None else _live(asked, None if quiet else _progress)
    _tell(proof, output or [], json_=json_)
    # A wrong key must not pass for a skill that is merely not clear yet.
    raise typer.Exit((EXITS if proof.failed else codes)[proof.verdict])


def _check_places(places: list[Path]) -> None:
    from tfgrpo.proving import page

    for place in places:
        page.check_place(place)


def _tell(proof: Proof, places: list[Path], *, json_: bool) -> None:
    from tfgrpo.proving import output

    if json_:
        o.print_json(output.summary(proof))
    else:
        for line in output.lines(proof):
            typer.echo(line)
    # After the verdict: a page that cannot be made must not cost what was paid for.
    for place in places:
        _write(place, proof)


def exits(given: str | None) -> dict[Verdict, int]:
    """Read `--exit VERDICT=CODE,...`; raises UsageError."""
    codes = dict(EXITS)
    for part in filter(None, (given or "").split(",")):
        name, _, code = part.partition("=")
        if name.strip() not in {v.value for v in Verdict} or not code.strip().isdecimal() or int(code) > 255:
            known = ", ".join(v.value for v in Verdict)
            raise UsageError(f"--exit is VERDICT=CODE with one of {known} and a code up to 255, not {part!r}")
        codes[Verdict(name.strip())] = int(code)
    return codes


def _stored(asked: dict[str, Any]) -> Proof:
    from tfgrpo.proving.replay import Asked, replay

    # A floor, a seed or a limit of 0 is given, too; what was not given is None, False or an empty list.
    given = [o for name, o in LIVE.items() if not (asked[name] is None or asked[name] is False or asked[name] == [])]
    if given:
        raise UsageError(f"{given[0]} goes with rollouts; --replay reads results that are there, and asks no model")
    if asked["text"]:
        raise UsageError(f"--replay compares stored results; leave {asked['text'][0]!r} out")
    if (asked["on"] is None) != (asked["grader"] is None):
        raise UsageError("--replay takes --on and --grader together: they give a score to stored answers without one")
    against = None if asked["against"] == "none" else Path(asked["against"])
    return replay(
        Asked(
            asked["replay"], against, asked["baseline"], asked["metric"], _range(asked["range_"]), asked["form"],
            _regrader(asked["on"], asked["grader"]), _level(asked["alpha"]), _detect(asked["detect"]),
        )
    )  # fmt: skip


def _regrader(tasks: str | None, grader: str | None) -> Any:
    if tasks is None or grader is None:
        return None
    from tfgrpo.proving.regrade import regrader

    return regrader(tasks, grader)


def _range(given: str | None) -> tuple[float, float] | None:
    if given is None:
        return None
    try:
        low, high = (float(part) for part in given.split(","))
    except ValueError:
        raise UsageError(f"--range looks like 1,5, not {given!r}") from None
    return low, high


def _level(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise UsageError(f"--alpha is an error rate between 0 and 1, not {alpha:g}")
    return alpha


def _detect(effect: float | None) -> float | None:
    if effect is not None and not 0 < effect <= 1:
        raise UsageError(f"--detect is an effect on a reward between 0 and 1, not {effect:g}")
    return effect


def _live(asked: dict[str, Any], progress: Any) -> Proof:
    import asyncio

    from tfgrpo.proving import live

    _refuse_unused(asked)
    asked = _bridged(asked)
    for name, option in NEEDED.items():
        if asked[name] is None:
            raise UsageError(f"prove needs {option}; or give stored results with --replay")
    if not asked["text"]:
        raise UsageError("which text? Give a file, a folder of skills or a library, or stored results with --replay")
    wanted = live.Asked(
        texts=tuple(asked["text"]), on=asked["on"], against=asked["against"], way=asked["as_"],
        detect=_detect(asked["detect"]), pairs=asked["pairs"], alpha=_level(asked["alpha"]),
        floor=live.FLOOR if asked["floor"] is None else asked["floor"],
        together=asked["together"], controls=_names(asked["control"]), seal=asked["seal"],
        fields=o.field_mapping(asked["field"]),
    )  # fmt: skip
    options = {k: asked[k] for k in ("grader", "model", "base_url", "prompts", "seed", "limit", "concurrency")}
    budgets = {k: asked[k] for k in asked if k.startswith("budget_")}
    sets = o.with_tools(asked["tools"], asked["set_"])
    try:
        return asyncio.run(
            live.prove(wanted, db=o.db_path(asked["db"]), overrides=sets, progress=progress, **options, **budgets)
        )
    except UnusableModel:
        raise
    except (EndpointError, NothingLearned, BudgetReached) as error:
        # An endpoint that cannot be asked is no verdict against the text: exit code 1 would be one.
        reason = hide_secrets(str(error), configuration.secrets())
        typer.echo(f"error: {reason}", err=True)
        ended = isinstance(error, BudgetReached)
        return failed_proof(reason, wanted.texts, wanted.against, wanted.alpha, failed=not ended)


def _refuse_unused(asked: dict[str, Any]) -> None:
    """Refuse options that would be read over in silence."""
    for name in ("baseline", "metric", "range_", "form"):
        if asked[name] is not None:
            raise UsageError(f"--{name.rstrip('_')} goes with --replay; a live proof takes its rewards from --grader")
    if asked["seal"] is not None and not asked["seal"].strip():
        raise UsageError("--seal takes a purpose, as 'release 2'; it is written down beside the tasks")


def _bridged(asked: dict[str, Any]) -> dict[str, Any]:
    """Fill in tasks and grader of another harness, where `--on` is an address of one."""
    from tfgrpo.integrations import bridges

    if asked["on"] is None or bridges.kind_of(asked["on"]) is None:
        return asked
    found = bridges.bridge(asked["on"])
    told = [f"instructions={found.instructions!r}"] if found.instructions else []
    return {
        **asked,
        "on": found.problems,
        "grader": asked["grader"] or found.grader,
        "set_": [*told, *(asked["set_"] or [])],
    }


def _names(given: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (given or "").split(",") if name.strip())


def _progress(line: str) -> None:
    typer.echo(line, err=True)


def _write(place: Path, proof: Proof) -> None:
    from tfgrpo.proving import page

    o.write_text_file(place, page.render_proof(place, proof).rstrip("\n"))
    typer.echo(f"wrote {place}", err=True)
