"""The GRPO family as decisions: what a method does with a group, from its configuration alone.

In: groups with rewards, the configuration, a memory. Out: advantages, weights, which groups teach and in what order.
Read `method.py` first; the formulas live in `advantages/`, `selection/` and `edit_scores/`.
"""
