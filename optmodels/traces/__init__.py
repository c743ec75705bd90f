"""Readers of public carbon traces and profiles: from files of others to UTC frames with units."""
