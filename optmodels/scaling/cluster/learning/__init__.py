"""CarbonFlex: a cluster that learns from its own past what an oracle would have done."""
