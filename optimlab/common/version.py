"""The version of optimlab, readable from every module."""

__version__ = "0.1.0"
