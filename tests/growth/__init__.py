"""Growth of what meets text of strangers: patterns and functions are found by walking the modules, not listed."""
