"""The problem of a cluster of elastic batch jobs that share a capacity which follows carbon."""
