"""The words of a text that say what it is about."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"\w{3,}")
_FUNCTION_WORDS = (
    "about above after again all also always and any are because been before being below between both but can "
    "cannot could did does doing done down during each either else even ever every few for from further get gets "
    "give given gives goes had has have having her here hers him his how however into its itself just let lets like "
    "may might more most much must near need needs never nor not now off often once one only onto other others our "
    "out over own per quite rather really same she should since some still such than that the their them then there "
    "these they this those through thus too toward towards twice two under unless until upon use used uses using "
    "very was way were what when where whether which while who whom whose why will with within without would yes "
    "yet you your zero"
)
_TASK_WORDS = (
    "answer apply avoid break calculate case check choose complex compute consider correct define describe "
    "determine different easy evaluate exactly exist express find final first following form four fully general "
    "give hard include including instead know known large least less make many mean method multiple number obtain "
    "part possible problem question reason reduce remember require result second set show simple small solution "
    "solve solving start state step suppose sure take term third three total treat try type understand value verify "
    "want whole write written"
)
STOP_WORDS = frozenset(f"{_FUNCTION_WORDS} {_TASK_WORDS}".split())
"""Words that say nothing about what a problem is about, however rare they are in a pool."""


@lru_cache(maxsize=8192)
def words(text: str) -> frozenset[str]:
    """Return the content words of `text`: case-folded, three letters or more, no stop words, plural s removed."""
    found = (word for word in _WORD.findall(text.casefold()) if not word.isdigit() and word not in STOP_WORDS)
    return frozenset(_singular(word) for word in found) - STOP_WORDS


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
