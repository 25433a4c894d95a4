"""Tools for lessons: explain a formula, find a learning rate, preview a schedule.

Imports common, rules, schedules, kernels, backends, nn, optim, datasets, training and plotting.
"""
