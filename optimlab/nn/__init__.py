"""The network: formulas, layers, losses, parameters, penalties, initial weights, passes.

Knows formulas and named operations of a backend, not what runs them.

Imports common, kernels and backends.
"""
