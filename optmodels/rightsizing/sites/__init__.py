"""The problem of GPUs at wind sites: which sites get how many."""
