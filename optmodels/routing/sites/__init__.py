"""The problem of routing inference requests to GPUs at wind sites."""
