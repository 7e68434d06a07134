"""Sequences of tokens whose label, and what training withholds, are functions of the user's own.

An input is int32[length], uniform: each token one of 0 .. alphabet - 1. `label(tokens[length])` is
a class, `withheld(tokens[length])` is True for what training never shows: an input is drawn again
until it may be shown, however often that takes. Withheld inputs for tests are uniform among at most
2^14 of them, of all inputs or, where these are too many to list, of random ones.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks
from pvr_jax.refusal import Refusal
from pvr_jax.tasks import token_measures, user_function
from pvr_jax.tasks.contents import Content, of_function
from pvr_jax.tasks.token_measures import Distribution, Estimate

# Up to so many inputs are listed; of more, so many random ones are looked at, of long sequences as
# many as have so many tokens.
MAX_LISTED, LOOKED_AT, MAX_TOKENS = 10**6, 2**20, 2**25
MAX_KEPT = 2**14  # withheld inputs that those of tests are drawn from
# Withheld inputs that have to be found for a test set, and the least share of all inputs that is
# left to training, which draws until it meets one of them.
MIN_FOUND, MIN_SHARE = 1000, 0.003
AT_ONCE = 2**12

Function = Callable[[jax.Array], jax.Array]


class OwnTokens(NamedTuple):
    """The user's functions, and what they say of all inputs or of random ones.

    `withheld` is None where nothing is, `uniform(key)` draws any input. `labels` int32[N] and
    `removed` bool[N] are of the inputs that were looked at, all of them where `exact`; `kept`
    int32[K, length] are those among them that tests show as withheld.
    """

    label: Function
    withheld: Function | None
    uniform: Function
    kept: np.ndarray
    labels: np.ndarray
    removed: np.ndarray
    exact: bool

    def shown(self, key: jax.Array) -> jax.Array:
        """Return an input as training shows them, uniform among those that are not withheld."""
        if self.withheld is None:
            return self.uniform(key)

        def is_withheld(trial: jax.Array) -> jax.Array:
            return self.withheld(self.uniform(jax.random.fold_in(key, trial)))

        trial = jax.lax.while_loop(is_withheld, lambda trial: trial + 1, jnp.int32(0))
        return self.uniform(jax.random.fold_in(key, trial))

    def draw(self, key: jax.Array, part: str, conditions: Any) -> dict[str, jax.Array]:
        """Return one example of a part."""
        if part == "withheld" and self.withheld:
            row = jax.random.randint(key, (), 0, len(self.kept), jnp.int32)
            tokens = jnp.asarray(self.kept)[row]
        else:
            tokens = self.shown(key)
        return {"x": tokens, "y": self.label(tokens)}

    def is_withheld(self, key: jax.Array, conditions: Any) -> jax.Array:
        """Return whether the training example of a key is withheld."""
        return self.withheld(self.shown(key)) if self.withheld else jnp.bool_(False)

    def share_removed(self) -> Estimate:
        """Return the share of all inputs that is withheld."""
        if self.exact or not self.withheld:
            return Estimate(*[float(self.removed.mean())] * 3, True)
        return token_measures.sampled_share(int(self.removed.sum()), len(self.removed))

    def label_distribution(self, classes: int) -> Distribution:
        """Return the probability of each class in training."""
        counted = np.bincount(self.labels[~self.removed], minlength=classes)
        return Distribution(counted / counted.sum(), self.exact)

    def noise_sensitivity(self, delta: float, shape: tuple[int, ...]) -> Estimate:
        """Return the probability that noise changes the label; `shape` is that of all inputs."""
        if not self.exact:
            return token_measures.sampled_noise_sensitivity(self.uniform, self.label, delta)
        same = token_measures.agreement(self.labels.reshape(shape), len(shape), delta)
        return Estimate(*[max(0.0, 1 - same)] * 3, True)


def make(name: str, withheld: str, length: int, alphabet: int, classes: int) -> OwnTokens:
    """Return the user's own label, and what is withheld, "" for nothing.

    Raises ValueError for a function that is not as `user_function.token_function` says, a label
    that is none of 0 .. classes - 1, and a predicate that withholds nothing, or too much.
    """
    predicate = None
    label = user_function.token_function(name, "a whole number", length, alphabet)
    if withheld:
        try:
            predicate = user_function.token_function(withheld, "bool", length, alphabet)
        except Refusal as error:
            raise Refusal("withheld" + str(error).removeprefix("name")) from error
    own = _looked_at(label, predicate, length, alphabet)
    for number in (own.labels.argmin(), own.labels.argmax()):
        if not 0 <= own.labels[number] < classes:
            tokens = _inputs(length, alphabet)[0][number].tolist()
            given = f"{own.labels[number]} for {tokens}" if length <= 20 else own.labels[number]
            if own.labels[number] < 0:
                allowed = f"a function that returns 0 to classes - 1 (it returns {given})"
                raise checks.invalid("name", name, allowed)
            allowed = f"more than every label, which go from 0 on ({name} returns {given})"
            raise checks.invalid("classes", classes, allowed)
    removed, count = int(own.removed.sum()), len(own.removed)
    least = 1 if own.exact else MIN_FOUND
    if withheld and not least <= removed <= (1 - MIN_SHARE) * count:
        allowed = (
            f"a function that is True for {least:,} or more of {count:,} "
            f"{'' if own.exact else 'random '}inputs and False for {100 * MIN_SHARE:g} % or more "
            f"(it is True for {removed:,})"
        )
        raise checks.invalid("withheld", withheld, allowed)
    return own


def contents(
    own: OwnTokens, names: dict[str, str], length: int, alphabet: int
) -> dict[str, Content]:
    """Return what the names of the two functions stand for, by field."""
    found = {}
    for field, function, values in (
        ("name", own.label, own.labels),
        ("withheld", own.withheld, own.removed),
    ):
        if function and not own.exact:
            at_points = jax.jit(jax.vmap(function))(user_function.token_points(length, alphabet))
            values = np.concatenate([values, at_points])
        if function:
            content = of_function(names[field], values, own.exact)
            found[f"task.{field}"] = content._replace(of=json.dumps([length, alphabet]))
    return found


@lru_cache(maxsize=4)
def _looked_at(
    function: Function, withheld: Function | None, length: int, alphabet: int
) -> OwnTokens:
    inputs, exact = _inputs(length, alphabet)

    def label(tokens: jax.Array) -> jax.Array:
        return jnp.asarray(function(tokens)).astype(jnp.int32)

    def uniform(key: jax.Array) -> jax.Array:
        return jax.random.randint(key, (length,), 0, alphabet, jnp.int32)

    def both(tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        return label(tokens), jnp.asarray(withheld(tokens) if withheld else False)

    every = jax.jit(lambda inputs: jax.lax.map(both, inputs, batch_size=AT_ONCE))
    labels, removed = map(np.asarray, every(inputs))
    kept = np.random.default_rng(1).permutation(np.flatnonzero(removed))[:MAX_KEPT]
    return OwnTokens(label, withheld, uniform, inputs[kept], labels, removed, exact)


def _inputs(length: int, alphabet: int) -> tuple[np.ndarray, bool]:
    """Return all inputs in order, int32[N, length], or random ones; and whether these are all."""
    if alphabet**length <= MAX_LISTED:
        return np.indices((alphabet,) * length, np.int32).reshape(length, -1).T, True
    count = min(LOOKED_AT, MAX_TOKENS // length)
    return np.random.default_rng(0).integers(alphabet, size=(count, length), dtype=np.int32), False
