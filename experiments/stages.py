from pvr_jax.stages import *  # noqa: D100, F403
