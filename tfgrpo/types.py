"""The words of the field as frozen values; everything else is functions over them.

Problem   a row of a dataset
Request   one model call, before it is made; Reply is what came back
Rollout   one attempt at a problem, or the failure that took its place
Score     one grader's value for one rollout; unscored is not zero
Group     the rollouts of one problem under one library version, with rewards and advantages
Proposal  an edit that a contrast suggested, with the groups that support it
Verdict   what a gate said about edits, with the numbers behind it
Step      one batch through the loop

Axis suffixes: `_P` runs over problems, `_G` over the rollouts of a group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypedDict

from experience_db import Edit, Evidence
from experience_db.frames import html_table


class Message(TypedDict, total=False):
    """An OpenAI-style chat message. Kept as a plain dict: it goes to the wire and the journal as it is."""

    role: str
    content: str | None
    name: str
    tool_calls: list[dict[str, Any]]
    tool_call_id: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of a dataset."""

    id: str
    question: str
    answer: str | None = None
    """The reference answer; absent where only a judge or an environment can tell."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. None leaves a setting to the endpoint."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    """Same seed and same problem means same noise, on backends that honour it."""
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One model call. Two calls are the same exactly if all fields are equal; the journal is keyed by that."""

    role: str
    """Who asks: `rollout`, `summarize`, `contrast`, `consolidate`, `judge`, ..."""
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    tools: tuple[Mapping[str, Any], ...] = ()
    response_schema: Mapping[str, Any] | None = None
    """JSON schema the reply shall follow; backends that cannot enforce it leave it to the prompt."""
    attempt: int = 0
    """Index among otherwise identical calls: the G rollouts of a group differ in this alone."""
    forced_ids: tuple[int, ...] | None = None
    """Tokens to score after the messages instead of generating; the reply then holds `logprobs`."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call, or many together, consumed."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Part of `prompt_tokens` that the endpoint served from its prefix cache."""
    usd: float | None = 0.0
    """Money; None when any part has no known price. Unknown is never zero."""
    estimated_tokens: int = 0
    """Part of both counts that was counted here, by the length of the texts: the endpoint's own could not be had."""

    def __add__(self, other: Usage) -> Usage:
        """Sum of both; unknown money stays unknown."""
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            usd,
            self.estimated_tokens + other.estimated_tokens,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said."""

    text: str
    finish_reason: str = "stop"
    """`stop`, `length`, `tool_calls` or `refusal`; whatever else an endpoint says is a failure."""
    usage: Usage = Usage()
    reasoning: str | None = None
    """Reasoning content, where the endpoint returns it apart from the answer."""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    token_ids: tuple[int, ...] | None = None
    """Ids of the generated tokens, where the endpoint gives them; teacher-forced scoring needs them."""
    logprobs: tuple[float | None, ...] | None = None
    """Log-probability of each forced token at temperature 1, None where the endpoint gave none."""
    token_texts: tuple[str, ...] | None = None
    """What each forced token spells, where the endpoint says so."""
    replayed: bool = False
    """True when the journal answered and nothing was sent."""


class FailureKind(StrEnum):
    """Why there is no value. A failure is recorded, counted and never read as a wrong answer."""

    TIMEOUT = "timeout"
    """No answer within the time limit."""
    RATE_LIMITED = "rate_limited"
    """The endpoint kept saying 429 until retries were used up."""
    PROVIDER = "provider"
    """A server error, a broken connection or an unreadable body."""
    REFUSED_REQUEST = "refused_request"
    """The endpoint rejected the request itself, for instance because the context was too long."""
    EMPTY = "empty"
    """HTTP 200 without any content."""
    TRUNCATED = "truncated"
    """The reply was cut at the token limit and cannot be used."""
    MALFORMED = "malformed"
    """A structured reply that could not be parsed, also after it was asked for again."""
    GRADER = "grader"
    """The grader raised or ran out of time."""
    ENVIRONMENT = "environment"
    """The agent or environment raised."""
    BUDGET = "budget"
    """A budget was used up before this could be done."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A typed reason why something has no value."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool in a rollout, as it went."""

    id: str
    """Unique within the rollout."""
    name: str
    arguments: str
    """JSON text, as the model wrote it."""
    text: str
    """What came back, whole; the conversation may hold less of it."""
    turn: int
    """Which reply asked for it, from 0."""
    failure: Failure | None = None
    """Why there is no result; the model was told."""
    seconds: float = 0.0
    detail: Mapping[str, Any] = field(default_factory=dict)
    """How it came about: isolation, provider, pages. No secrets."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One attempt at a problem, or the failure that took its place."""

    problem_id: str
    index: int
    """Seed index: epoch * G + position within the group."""
    messages: tuple[Message, ...] = ()
    """The whole conversation, prompt included."""
    answer: str = ""
    """What graders read: the last assistant text."""
    finish_reason: str = ""
    usage: Usage = Usage()
    seconds: float = 0.0
    failure: Failure | None = None
    """Set when infrastructure broke; such a rollout is never graded."""
    tainted: bool = False
    """True when tool output took part."""
    reply: Reply | None = None
    """The last model reply, for its token ids and reasoning."""
    tool_calls: tuple[ToolCall, ...] = ()
    """In the order of the conversation."""
    notes: tuple[str, ...] = ()
    """What was done to the conversation on the way: results shortened, protocol changed."""
    turn_ids: tuple[tuple[int, ...], ...] = ()
    """Ids of the tokens that the model wrote in each assistant message, where the endpoint gives all of them."""

    @property
    def turns(self) -> int:
        """How many assistant messages it has; its steps, where a grader rewards steps. At least 1."""
        return max(sum(m.get("role") == "assistant" for m in self.messages), 1)


@dataclass(frozen=True, slots=True)
class Score:
    """One grader's value for one rollout."""

    value: float | None
    """Usually in [0, 1]; None means unscored, which is not zero."""
    why: str = ""
    """The grader's words, shown to the summarizer."""
    name: str = ""
    """Which grader; filled in when several are combined."""
    failure: Failure | None = None
    """Why there is no value."""
    parts: tuple[Score, ...] = ()
    """The named scores that `value` combines, where there are several; GDPO normalizes each on its own."""
    steps: tuple[float, ...] = ()
    """A value for each assistant message, in order, nan where there is none; () from graders of outcomes alone."""


class GroupStatus(StrEnum):
    """What became of a group."""

    KEPT = "kept"
    """It has a contrast, and teaches."""
    FLAT = "flat"
    """All graded rollouts got the same reward: nothing to contrast."""
    FAILED = "failed"
    """Fewer than two rollouts could be graded."""
    FILTERED = "filtered"
    """A selection rule left it out."""


@dataclass(frozen=True, slots=True)
class Group:
    """The G rollouts of one problem under one library version."""

    problem: Problem
    rollouts_G: tuple[Rollout, ...]
    scores_G: tuple[Score, ...]
    rewards_G: tuple[float, ...]
    """nan where a rollout failed or is unscored."""
    advantages_G: tuple[float, ...]
    """0 where the reward is nan; all 0 for a flat group."""
    status: GroupStatus
    version: int
    """The library version these rollouts saw."""
    shown: tuple[int, ...] | None = None
    """Positions of the rollouts that teach, in the order they are shown; None is all graded ones as they came."""
    weight: float = 1.0
    """How much the group's proposals count against those of other groups."""
    grader_advantages_G: tuple[Mapping[str, float], ...] = ()
    """What each grader contributes to each advantage, by grader (GDPO)."""
    grams: tuple[str, ...] = ()
    """Strategic grams; the summarizer reads sentences that hold one first (HICRA)."""
    objective: str = ""
    """What this contrast is about, where it is not the whole reward: a named score, or `tokens`."""
    step_advantages_G: tuple[tuple[float, ...], ...] = ()
    """An advantage for each assistant message of each rollout, where the method credits steps."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An edit that a contrast suggested."""

    edit: Edit
    support: int = 1
    """How many groups asked for it."""
    weight: float = 1.0
    """Mean weight of those groups; proposals are ranked by support times weight."""
    subject: str = ""
    """What the lesson is about. Proposals of one subject with other advice are rivals: one of them at most enters."""
    beaten: int = 0
    """Rivals that scores on the gate's own problems set aside in its favour."""
    echo: float = 0.0
    """Share of its words that graders said of those groups; of proposals ranked alike, more of it goes first."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate said about one edit or a bundle of edits."""

    decision: str
    """`accepted`, `rejected`, `undecided`, or `untested`: nothing has spoken for or against it, it may come again."""
    edits: tuple[Edit, ...]
    reason: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One batch through the loop."""

    index: int
    epoch: int
    groups_P: tuple[Group, ...]
    proposals: tuple[Proposal, ...]
    verdicts: tuple[Verdict, ...]
    failures: tuple[Failure, ...]
    """Failures of summaries, contrasts and consolidation; those of rollouts are on the rollouts."""
    version_before: int
    version_after: int
    refused: int = 0
    """How many further edits the contrasts proposed and the checks in code refused; their verdicts say why."""
    usage: Usage = Usage()
    monitor: Mapping[str, Any] = field(default_factory=dict)
    """What the method watches: rounds of dynamic sampling, semantic entropy, ..."""
    decided: Mapping[str, Any] = field(default_factory=dict)
    """What the method decided: `contrasts` asked, `objectives` among them, groups `passed_over`, the edit tested
    `first`, edits `pruned` by their score, `held` for the next version, and `moved` into this one."""

    def __repr__(self) -> str:
        """Return one line: which step, how many groups, what became of its edits."""
        decided = [verdict.decision for verdict in self.verdicts for _ in verdict.edits]
        edits = ", ".join(f"{decided.count(name)} {name}" for name in dict.fromkeys(decided)) or "none"
        return (
            f"Step({self.index}, epoch {self.epoch}, {len(self.groups_P)} groups, edits: {edits}, "
            f"version {self.version_before} -> {self.version_after})"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the edits with their verdicts."""
        rows = [(v.decision, edit.op.value, edit.text, v.reason) for v in self.verdicts for edit in v.edits]
        return html_table(repr(self), ("decision", "edit", "text", "reason"), rows)
