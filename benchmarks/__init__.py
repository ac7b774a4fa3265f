"""The fast paths of the library against their peers: ``python -m benchmarks``."""
