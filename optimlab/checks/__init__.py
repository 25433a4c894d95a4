"""Checks for tests: gradients against finite differences, rules against an independent reference.

Imports common, rules, kernels, backends and nn.
"""
