"""Libraries in other people's hands: pushed to and pulled from a git repository or a dataset of the Hugging Face hub.

In: an export of `experience_db`. Out: a folder with the export, a table and a card that states the evidence. Read
`card.py` first; `git_repository.py` and `hub.py` move the folder.
"""

from tfgrpo.sharing.card import files_of
from tfgrpo.sharing.remote import pull, push

__all__ = ["files_of", "pull", "push"]
