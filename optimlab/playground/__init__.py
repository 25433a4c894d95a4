"""A page in which a small network trains, with every rule and every formula.

Imports rules, schedules, kernels, backends, nn, datasets and race.
"""
