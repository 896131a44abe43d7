"""Devices, precision, memory, progress and random numbers: how a process computes.

The package may import `base`.
"""
