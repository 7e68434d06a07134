"""Token PVR for tensorflow_datasets."""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from pvr_jax.builders.drawn import DrawnBuilder, DrawnConfig
from pvr_jax.tasks import classification, token_pvr
from pvr_jax.tasks.classification import RETRIEVAL, Classification

COMPLEXITIES = (0, 1, 2)
WITHHELD = (0, 1)


@dataclasses.dataclass(kw_only=True)
class TokenConfig(DrawnConfig):
    """A token task; `pvr_jax.tasks.token_pvr` explains the parameters.

    With complexity 0 every aggregation is retrieval, and a few others coincide; the name is then
    that of the simplest.
    """

    aggregation: str = "mod_sum"
    complexity: int = 1
    withheld: int = 1
    boundary: str = "bounded"

    SUBTASK = (
        r"(?P<aggregation>[a-z_]+)-m(?P<complexity>\d+)-withheld(?P<withheld>\d+)"
        r"(-(?P<boundary>cyclic))?"
    )
    EXAMPLE = "mod_sum-m1-withheld1"

    def subtask_name(self) -> str:
        """Return a name such as "mod_sum-m1-withheld1"; bounded pointers are the default."""
        name = self.task().subtasks[0].name
        return name if self.boundary == "bounded" else f"{name}-{self.boundary}"

    def task(self, data_dir: str | None = None) -> Classification:
        """Return the task with this one subtask; it needs no data."""
        aggregation = self.aggregation
        if (aggregation, self.complexity) == (RETRIEVAL, 0):
            aggregation = token_pvr.AGGREGATIONS[0]
        return classification.make(
            "token_pvr",
            aggregations=(aggregation,),
            complexities=(self.complexity,),
            withheld=(self.withheld,),
            boundary=self.boundary,
        )


def _listed() -> list[TokenConfig]:
    """Return the listed configurations; others are made from their names."""
    task = classification.token_task(token_pvr.AGGREGATIONS, COMPLEXITIES, WITHHELD)
    return [TokenConfig(**subtask._asdict()) for subtask in task.subtasks]


class TokenPvr(DrawnBuilder):
    """Pointer Value Retrieval on tokens.

    x: eleven digits, a pointer and ten values. y: an aggregation of the window of values that the
    pointer selects. The first permutations of 0 .. complexity may be withheld from training
    windows; test_withheld has only these windows.
    """

    name = "token_pvr"
    CONFIG = TokenConfig
    BUILDER_CONFIGS = _listed()
    DEFAULT_BUILDER_CONFIG_NAME = TokenConfig.EXAMPLE
    SOURCE = "Zhang, Raghu, Kleinberg and Bengio 2021, Pointer Value Retrieval, arXiv 2107.12580"

    def inputs(self) -> tfds.features.Tensor:
        """Return the feature of the inputs, int32[11]."""
        return tfds.features.Tensor(shape=(token_pvr.LENGTH,), dtype=np.int32)
