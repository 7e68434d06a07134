"""Strict switches for every test: four simulated CPU devices, no silent promotion.

Set before JAX starts its backend, so that the whole suite runs as on a machine with four devices.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("MPLBACKEND", "Agg")
