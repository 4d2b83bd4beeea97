"""Search over library versions: Pareto selection, reflective mutation, merging, and subsets by TPE."""
