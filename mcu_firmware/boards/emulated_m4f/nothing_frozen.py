"""The manifest of a firmware without a program of its own: it starts at the prompt (`make repl`)."""
