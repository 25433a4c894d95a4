"""A page in which a small network trains, with every rule and every formula.

Imports rules, schedules, kernels, nn, datasets and race.
"""
