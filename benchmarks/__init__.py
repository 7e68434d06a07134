"""Benchmarks, one question per file: `./launch.sh bench [NAME]`, or `python -m benchmarks NAME`."""

import pvr_jax  # noqa: F401 (on Windows it ends the command in one line)
