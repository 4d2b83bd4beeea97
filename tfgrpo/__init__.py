"""Training-Free GRPO: the experience library whose every lesson carries its evidence."""
