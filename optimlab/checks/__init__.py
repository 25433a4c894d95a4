"""Checks for tests: gradients against finite differences, engines against the rule itself.

May import common, rules, kernels, backends, nn and optim.
"""
