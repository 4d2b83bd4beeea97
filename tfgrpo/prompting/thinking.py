"""What a model says after its thinking, whatever marks its family puts around the thinking.

One function for graders, judges and the readers of lessons. Known are tags (`<think>`, `<thinking>`, `<seed:think>`,
`<thought>`, `<scratchpad>` ...), `[THINK]`, `◁think▷`, begin and end tokens (`<|begin_of_thought|>`, `<unused94>`), and
the channels of harmony, also where a server dropped its special tokens.
"""

from __future__ import annotations

import re

_TAG = (
    r"(?:[\w-]{1,20}[:_])?(?:think|thinking|thoughts?|reasoning(?:_content)?|reflection|scratchpad|inner_monologue|analysis"
    r"|cot(?:_budget_reflect)?|antthinking|(?:begin|start)_of_thought)"
)
_OPENS = (
    rf"<(?!end_of_){_TAG}(?:\s[^<>]{{0,80}})?>",
    r"\[THINK(?:ING)?\]",
    "◁think▷",
    r"<[|｜](?:begin[_▁]of[_▁]thought|start_thinking|inner_prefix|think(?:ing)?|begin[_▁]of[_▁]think(?:ing)?)[|｜]>",
    r"<unused94>",
    r"<\|channel>\s?(?:thought|analysis)\b",
)
_CLOSES = (
    rf"</{_TAG}\s?>|<end_of_thought>",
    r"\[/THINK(?:ING)?\]",
    "◁/think▷",
    r"<[|｜](?:end[_▁]of[_▁]thought|end_thinking|inner_suffix|/think(?:ing)?|end[_▁]of[_▁]think(?:ing)?)[|｜]>",
    r"<unused95>",
    r"<channel\|>",
)
_MARK = re.compile(rf"(?P<open>{'|'.join(_OPENS)})|(?P<close>{'|'.join(_CLOSES)})", re.IGNORECASE)
_HEADER = re.compile(
    r"(?:<\|start\|>[\w.-]{0,40})?<\|channel\|>\s?(\w{1,40})[^<]{0,120}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>"
)
_MESSAGE_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_BARE_FINAL = "assistantfinal"
_FRAME = re.compile(
    r"<\|(?:begin_of_solution|end_of_solution|start_response|end_response|im_end|return|end|eot_id|endoftext|end_of_text"
    r"|end_of_turn|eom_id)\|>|<(?:end_of_turn|eos)>|</s>\s*\Z",
    re.IGNORECASE,
)


def after_thinking(text: str) -> str:
    """Return a reply without its thinking.

    A closing mark that was never opened ends thinking that began in the prompt. An opened block that never closes is
    thinking to the end, so that a reply cut in its thought has no answer. Marks inside a JSON string or between
    backticks are words.
    """
    if "<|message|>" in text:
        text = _final_channel(text)
    elif text.startswith("analysis") and _BARE_FINAL in text:
        text = text[text.rindex(_BARE_FINAL) + len(_BARE_FINAL) :]
    return _FRAME.sub("", _without_blocks(text)) if "<" in text or "[" in text or "◁" in text else text


def _without_blocks(text: str) -> str:
    said: list[str] = []
    position, inside = 0, False
    for mark in _MARK.finditer(text):
        if _is_word(text, mark.start(), mark.end()):
            continue
        if mark["close"]:
            if not inside:
                said.clear()
            position, inside = mark.end(), False
        elif not inside:
            said.append(text[position : mark.start()])
            inside = True
    return "".join(said) if inside else "".join([*said, text[position:]])


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether a mark is spoken of: between backticks, or in a JSON string that opens on its line."""
    if text[max(start - 1, 0) : start] == "`" == text[end : end + 1]:
        return True
    # No longer line is looked through: one reply may hold a hundred thousand marks.
    floor = max(text.rfind("\n", max(start - _LINE, 0), start) + 1, start - _LINE, 0)
    line = text[floor:start].replace("\\\\", "").replace('\\"', "")
    quote = line.rfind('"')
    return line.count('"') % 2 == 1 and line[:quote].rstrip()[-1:] in {":", ",", "[", "{"}


_LINE = 2000


def _final_channel(text: str) -> str:
    """The last message of the channel `final`; without one there is only thinking, and nothing was said."""
    final = ""
    for header in _HEADER.finditer(text):
        if header[1] == "final":
            end = _MESSAGE_END.search(text, header.end())
            final = text[header.end() : end.start() if end else len(text)]
    return final
