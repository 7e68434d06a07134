"""Check quickly, without JAX, that the data of a configuration exist."""

from ml_collections import ConfigDict

from pvr_jax import on_disk
from pvr_jax.refusal import Refusal


def check(config: ConfigDict) -> None:
    """Raise a one-line error if MNIST is needed and not prepared."""
    task = config.get("task")
    if isinstance(task, ConfigDict) and task.get("source") == "mnist":
        try:
            on_disk.mnist(task.get("data_dir"))
        except Refusal as error:
            raise Refusal(f"config.task.{error}") from error
