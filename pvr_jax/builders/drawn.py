"""Base classes of the builders, which write rows of the library's data sets in order."""

import abc
import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.data_sources.array_record import ArrayRecordDataSource
from tensorflow_datasets.core.data_sources.base import file_instructions

from pvr_jax import checks
from pvr_jax.builders.records import Records
from pvr_jax.refusal import Refusal
from pvr_jax.tasks import drawn_sets
from pvr_jax.tasks.classification import Classification
from pvr_jax.tasks.drawn_sets import Example

# Split -> part of the task.
SPLITS = {"train": "train", "test_iid": "iid", "test_withheld": "withheld"}
FILE_FORMAT = "array_record"
CHUNK = 1024
MAX_SAMPLES = 10**8


@dataclasses.dataclass(kw_only=True)
class DrawnConfig(tfds.core.BuilderConfig, abc.ABC):
    """One data set: a subtask, the numbers of rows, and the seed of the training rows.

    The name is a function of all other fields, so different data sets have different directories;
    `parse` inverts it.

    Raises:
        Refusal: a value out of range.
    """

    name: str = ""
    train_samples: int = 10_000
    test_samples: int = 2_000
    seed: int = 0

    # Pattern of names: the subtask, and what is not the default, as named groups.
    SUBTASK: ClassVar[str]
    REST = r"(-train(?P<train_samples>\d+))?(-test(?P<test_samples>\d+))?(-seed(?P<seed>\d+))?"
    EXAMPLE: ClassVar[str]

    def __post_init__(self) -> None:
        checks.integer(1, MAX_SAMPLES).check("train_samples", self.train_samples)
        checks.integer(1, MAX_SAMPLES).check("test_samples", self.test_samples)
        checks.integer(0, 2**31 - 3).check("seed", self.seed)
        self.name = self.subtask_name()
        for field, word in (("train_samples", "train"), ("test_samples", "test"), ("seed", "seed")):
            if getattr(self, field) != getattr(DrawnConfig, field):
                self.name += f"-{word}{getattr(self, field)}"

    @abc.abstractmethod
    def subtask_name(self) -> str:
        """Return the beginning of the name; raise ValueError for an invalid value."""

    @abc.abstractmethod
    def task(self, data_dir: str | None = None) -> Classification:
        """Return the task with this one subtask; `data_dir` has other data sets."""

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the configuration with a name; raise ValueError if there is none."""
        found = re.fullmatch(cls.SUBTASK + cls.REST, name)
        if found is None:
            allowed = f"names such as {cls.EXAMPLE}, and with -train50000, -test5000, -seed1 behind"
            raise checks.invalid("config", name, allowed)
        given = {field: text for field, text in found.groupdict().items() if text is not None}
        numbers = {field: int(text) for field, text in given.items() if text.isdecimal()}
        return cls(**{**given, **numbers})

    def values(self) -> dict[str, Any]:
        """Return the fields beyond those of tensorflow_datasets."""
        own = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
        return {name: value for name, value in vars(self).items() if name not in own}


class Configurations(dict):
    """The listed configurations by name; every valid name counts as listed.

    Otherwise tensorflow_datasets would read others from files, without their builder.
    """

    def __init__(self, kind: type[DrawnConfig], listed: Iterable[DrawnConfig]) -> None:
        super().__init__({config.name: config for config in listed})
        self._parse = kind.parse

    def __contains__(self, name: object) -> bool:
        with contextlib.suppress(Refusal):
            return super().__contains__(name) or bool(self._parse(str(name)))
        return False


class LocalInfo(tfds.core.DatasetInfo):
    """A description that is never looked up on the network."""

    def initialize_from_bucket(self) -> None:
        """Do nothing."""


class DrawnBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A builder of one of the library's tasks; row i of a split is row i of the library.

    `config` is a configuration or a name, which need not be listed.
    """

    VERSION = tfds.core.Version("1.0.0")
    CONFIG: ClassVar[type[DrawnConfig]]
    SOURCE: ClassVar[str]

    def __init__(
        self,
        *,
        config: str | DrawnConfig | None = None,
        file_format: str | None = None,
        **options: Any,
    ) -> None:
        if isinstance(config, str):
            config = self.CONFIG.parse(config)
        if isinstance(config, DrawnConfig):
            # tensorflow_datasets needs names of listed configurations.
            config = self.builder_configs.get(config.name, config)
        # The default, TFRecord, needs TensorFlow.
        super().__init__(config=config, file_format=file_format or FILE_FORMAT, **options)

    @tfds.core.utils.classproperty
    @classmethod
    def builder_configs(cls) -> Configurations:
        """The configurations, by name."""
        return Configurations(cls.CONFIG, cls.BUILDER_CONFIGS)

    @abc.abstractmethod
    def inputs(self) -> tfds.features.Tensor:
        """Return the feature of the inputs."""

    def _info(self) -> tfds.core.DatasetInfo:
        return LocalInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {"x": self.inputs(), "y": tfds.features.Tensor(shape=(), dtype=np.int32)}
            ),
            supervised_keys=("x", "y"),
            citation=self.SOURCE,
            metadata=tfds.core.MetadataDict(
                {**self.builder_config.values(), "jax": jax.__version__}
            ),
            disable_shuffling=True,
        )

    def download_and_prepare(
        self, *, download_config: tfds.download.DownloadConfig | None = None, **options: Any
    ) -> None:
        """Write the data set unless it exists. Nothing is downloaded, or looked up."""
        config = download_config or tfds.download.DownloadConfig(try_download_gcs=False)
        super().download_and_prepare(download_config=config, **options)

    def as_data_source(self, *arguments: Any, **options: Any) -> Any:
        """Return the splits as sequences that forked workers can read.

        Arguments and result are those of tfds.data_source.
        """
        sources = super().as_data_source(*arguments, **options)
        for source in jax.tree.leaves(sources):
            if isinstance(source, ArrayRecordDataSource):
                source.data_source = Records(file_instructions(source.dataset_info, source.split))
        return sources

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {
            split: self._generate_examples(part)
            for split, part in SPLITS.items()
            if part != "withheld" or self.builder_config.withheld
        }

    def _generate_examples(self, part: str) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        config = self.builder_config
        task = config.task(self.data_dir_root)
        conditions = jax.tree.map(jnp.int32, task.subtasks[0].conditions)
        key = jax.random.fold_in(jax.random.key(config.seed), drawn_sets.DATA_STREAM)

        @jax.jit
        def drawn(key: jax.Array, rows: jax.Array, conditions: dict[str, jax.Array]) -> Example:
            if part == "train":
                return drawn_sets.training_rows(task.draw, key, rows, conditions)
            return drawn_sets.test_rows(task.draw, part, rows, conditions)

        size = config.train_samples if part == "train" else config.test_samples
        for first in range(0, size, CHUNK):
            rows = first + jnp.arange(CHUNK)
            examples = jax.tree.map(np.asarray, drawn(key, rows, conditions))
            for place in range(min(CHUNK, size - first)):
                yield first + place, {name: values[place] for name, values in examples.items()}
