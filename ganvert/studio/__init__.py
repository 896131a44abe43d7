"""The pipeline in a browser: `ganvert studio` serves a page for photographs of one's own, on this machine alone.

It calls the functions that the command line calls, and computes nothing by itself. The package may import `report` and
what lies below, which is everything but the command.
"""
