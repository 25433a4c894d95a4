"""Optimizers over the flat buffers of a network, averages of weights, and a rule written for another library.

Imports common, rules, schedules, kernels, backends and nn.
"""
