"""The experiments, and the commands that run them."""

import pvr_jax  # noqa: F401 (on Windows it ends the command in one line)
