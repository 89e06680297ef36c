"""Where nothing else ends a number.

Beyond these nothing is meant that a computer could do, and MindSpore or NumPy would end the process rather than say so.
"""

UNITS, ROUNDS, MODELS = 100_000, 10_000_000, 10_000
