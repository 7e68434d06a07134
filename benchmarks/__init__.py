"""Benchmarks, one question per file: `./launch.sh bench [NAME]`, or `python -m benchmarks NAME`."""
