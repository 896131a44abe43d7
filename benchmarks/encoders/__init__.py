"""Benchmarks of encoders, one module each; ``python -m benchmarks.encoders --help`` lists them."""
