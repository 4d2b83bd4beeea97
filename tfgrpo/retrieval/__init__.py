"""Lessons for one problem instead of all: near by words, by the meaning of a vector, or by both.

In: a library version and a question. Out: the version with the lessons that suit the question, within a room of tokens.
Words are the work of `experience_db.retrieval`; here are the vectors, which load numpy when they are asked for. Read
`factory.py` first, then `vector_ranker.py`.
"""

from tfgrpo.retrieval.factory import NAMES, retrieval_for

__all__ = ["NAMES", "retrieval_for"]
