"""What is done with whole runs: methods side by side, transfer, audit, recipes, grading a file.

In: a setup and a dataset. Out: tables with intervals. Everything here goes through the Python face or below it.
Read `compare.py` first.
"""
