"""Checks for tests: gradients against finite differences, engines against the rule itself.

Imports common, rules, kernels, backends and nn.
"""
