"""The network: formulas, layers, losses, parameters, penalties, initial weights, passes.

Everything here is written in formulas and named operations of a backend, whichever backend runs them.

Imports common, kernels and backends.
"""
