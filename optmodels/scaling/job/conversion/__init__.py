"""Online conversion with switching costs: thresholds, the algorithms on them, and what is proven.

A job is *converted* piece by piece at costs that show themselves one at a time. `ratios` has the
competitive ratios, `thresholds` the curves they come from, `steps` the rules that decide by them,
`core` the life of an algorithm and the loop, `algorithms` the algorithms, `guarantees` what is
proven about each, and `batch` replays thousands of jobs at once.
"""
