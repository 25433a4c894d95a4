"""Optimizers over the flat buffers of a network, averages of weights, and translation to other libraries.

Imports common, rules, schedules, kernels, backends and nn.
"""
