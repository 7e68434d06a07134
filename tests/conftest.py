"""Strict switches for every test: four simulated CPU devices, no silent promotion.

Set before JAX starts its backend, so that the whole suite runs as on a machine with four devices.
Programs that several tests or worker processes compile alike are compiled once per session.
"""

import os
import tempfile

SWITCHES = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "4",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "MPLBACKEND": "Agg",
}
for name, value in SWITCHES.items():
    os.environ.setdefault(name, value)
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _CACHE = tempfile.TemporaryDirectory(prefix="pvr_jax_tests_")  # removed when the session ends
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name
