"""What a lesson asks for by name: explain a formula, find a learning rate, preview a schedule.

May import everything but the command line.
"""
