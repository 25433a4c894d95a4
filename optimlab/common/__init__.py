"""What every other room may use: errors, files, spelling, tables, progress, the version.

Knows nothing of networks or optimizers.

Imports nothing of optimlab.
"""
