"""Whether the data of a configuration are there, told in no time: imports no JAX."""

from ml_collections import ConfigDict

from pvr_jax import on_disk
from pvr_jax.refusal import Refusal


def check(config: ConfigDict) -> None:
    """Raise the one-line ValueError where MNIST is asked for and not prepared."""
    task = config.get("task")
    if isinstance(task, ConfigDict) and task.get("source") == "mnist":
        try:
            on_disk.mnist(task.get("data_dir"))
        except Refusal as error:
            raise Refusal(f"config.task.{error}") from error
