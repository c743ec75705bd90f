"""Which application is placed on which node: the problems, one folder each."""
