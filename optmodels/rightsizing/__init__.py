"""Right-sizing: how much hardware is worth installing, and where."""
