"""Learning from an app that is running: what its sessions say of the version on trial and of the one that is served.

In: sessions that were drawn into arms, and reports about them, as a store keeps them. Out: edits that enter, are
refused or are withdrawn, each with its evidence and a message. Read `cycle.py` first; `trial.py` judges a shadow
version, `watch.py` what is served.
"""

from tfgrpo.sessions.cycle import Event, cycle, enqueue
from tfgrpo.sessions.rules import SessionRules

__all__ = ["Event", "SessionRules", "cycle", "enqueue"]
