"""The benchmarks, in the order in which they run."""

BENCHMARKS = {
    "read": "read",
    "harvest": "harvest",
    "dictionary": "dictionary",
    "train": "train",
    "detect": "detect",
    "rank": "rank",
    "generate": "generate",
    "import": "importing",
    "growth": "growth",
}
"""Name of a benchmark, and of its module in this folder."""
