"""Replicas and members of many sizes at the edge: what survives when servers fail."""
