"""The embedded language model: our own weights, run with numpy alone."""
