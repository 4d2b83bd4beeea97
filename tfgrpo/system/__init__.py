"""What touches the operating system: an HTTP server, worker processes, and keys taken out of texts.

In: apps, commands, strings. Out: URLs, replies, strings without keys. Knows nothing of problems or lessons.
Read `workers.py` first.
"""
