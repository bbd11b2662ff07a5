"""Every claim about speed, as a command that prints a ratio of one run."""
