"""The open gate."""

from experience_db import Edit, Op
from tfgrpo.gates import OpenGate
from tfgrpo.types import Proposal, Verdict

from .tables import Table, add, library_of


async def test_open_gate_accepts_unseen():
    """Each edit is accepted in order, without a rollout and without evidence."""
    trial = Table(lambda *_: 0.0)
    proposals = [add("a"), Proposal(Edit(Op.DELETE, None, (1,)))]
    verdicts = await OpenGate()(library_of("x"), proposals, trial)
    assert verdicts == tuple(Verdict("accepted", (p.edit,), "the gate is open") for p in proposals)
    assert trial.asked == []
