"""Devices, precision, memory, progress and random numbers: how a process computes. Imports `base`."""
