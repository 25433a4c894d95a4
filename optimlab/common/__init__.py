"""Shared helpers for every other room: errors, files, spelling, tables, progress, the version.

Nothing here depends on networks or optimizers.

Imports nothing of optimlab.
"""
