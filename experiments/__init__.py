"""The papers' use cases as commands: each with its seed, its figure and its expected number."""
