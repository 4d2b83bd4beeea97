"""What marks a file as a database of ours, and which schema this release knows."""

APPLICATION_ID = 0x7F6AE0DB
"""Marks a SQLite file as ours (`PRAGMA application_id`)."""
SCHEMA = 10
"""How many migrations this release knows (`PRAGMA user_version`)."""
