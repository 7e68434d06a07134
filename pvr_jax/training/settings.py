"""Training settings: the section "train" of a configuration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import jax
import jax.numpy as jnp
import optax

from pvr_jax.refusal import Refusal
from pvr_jax.training import losses
from pvr_jax.training.optimizers import optimizer, warmup

Apply = Callable[[Any, jax.Array], jax.Array]


@dataclass(frozen=True)
class TrainSettings:
    """The fields of the section "train" on which the programs of a run depend.

    Those that an experiment does not have are as here. `steps` are those over which the learning
    rate decays; the rest is explained by `optimizers.optimizer` and `ensemble.assemble`.
    """

    optimizer: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    freeze: str = ""
    warmup_steps: int = 0
    decay: str = "constant"
    steps: int = 0
    execution: str = "auto"
    group_size: int = 1
    batch_devices: int = 1
    matmul_precision: str = "highest"
    dtype: str = "float32"
    loss: str = ""

    @property
    def parameters_dtype(self) -> jnp.dtype:
        """The dtype of the parameters: float32 if `dtype` is "bfloat16"."""
        return jnp.dtype("float32" if self.dtype == "bfloat16" else self.dtype)

    def in_training(self, apply: Apply) -> Apply:
        """Return `apply` as used in training: in bfloat16 if `dtype` is "bfloat16"."""
        if self.dtype != "bfloat16":
            return apply

        def rounded(leaf: jax.Array) -> jax.Array:
            is_real = jnp.issubdtype(leaf.dtype, jnp.floating)
            return leaf.astype(jnp.bfloat16) if is_real else leaf

        def apply_rounded(params: Any, x: jax.Array) -> jax.Array:
            return apply(jax.tree.map(rounded, params), rounded(x)).astype(jnp.float32)

        return apply_rounded

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """Return the settings in a section "train"."""
        return cls(**{f.name: section[f.name] for f in fields(cls) if f.name in section})

    def loss_or(self, own: losses.Loss) -> losses.Loss:
        """Return the loss of training: the one that is named, else the experiment's own."""
        return losses.of_rows(losses.by_name(self.loss)) if self.loss else own

    def transformation(self, learning_rate: jax.Array | float) -> optax.GradientTransformation:
        """Return the optimizer at a learning rate; it does not update frozen parameters."""
        found = optimizer(
            self.optimizer, learning_rate, self.momentum, self.weight_decay, self._schedule()
        )
        if not self.freeze:
            return found
        return optax.chain(found, optax.masked(optax.set_to_zero(), self.is_frozen))

    def is_frozen(self, params: Any) -> Any:
        """Return which parameters have a prefix in `freeze`, a tree of bool.

        Raises:
            Refusal: a prefix matches no parameter; the message starts with "freeze".
        """
        given = [name.strip() for name in self.freeze.split(",") if name.strip()]

        def name_of(path: Any, _: Any) -> str:
            return jax.tree_util.keystr(path, simple=True, separator="/")

        names = jax.tree_util.tree_map_with_path(name_of, params)
        for own in given:
            if not any(name.startswith(own) for name in jax.tree.leaves(names)):
                known = ", ".join(jax.tree.leaves(names))
                raise Refusal(f"freeze: given {own!r}; allowed beginnings of {known}")
        frozen = jax.tree.map(lambda name: name.startswith(tuple(given)), names)
        if all(jax.tree.leaves(frozen)):
            raise Refusal(f"freeze: given {self.freeze!r}; allowed what leaves some parameter free")
        return frozen

    def _schedule(self) -> Callable[[jax.Array], jax.Array] | None:
        if not self.warmup_steps and self.decay == "constant":
            return None
        decay_steps = self.steps - self.warmup_steps if self.decay == "cosine" else 0
        return warmup(self.warmup_steps, decay_steps)
