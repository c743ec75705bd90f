"""Routing: which requests are served where, and how."""
