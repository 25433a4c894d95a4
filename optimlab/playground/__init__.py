"""A page in which a small network trains, with every rule and every formula.

Imports common, rules, schedules, kernels, backends, nn, datasets and race.
"""
