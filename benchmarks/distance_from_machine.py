"""How far is training from what the machine can do?

The floor of a training step is the time of its matrix products at the rate of large ones: square
float32 products at full precision, measured in the same run, alternating with training. A value is
the median, over pairs, of training time over floor. The details are the rate at the network's own
shapes, and the seconds per replica and step of the parts of a step (gradients, optimizer, batches),
each alone, in a program of the same execution mode.

`NOTES` at the end of the file has what was tried.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from benchmarks import arithmetic, studies
from benchmarks.measuring import Measurement, alternate, measurement, timed
from pvr_jax.training import losses, optimizers
from pvr_jax.training.replicas import Mode, device_mesh, over_replicas, pad

PAIRS = 5
BAR = 1.5
SIZES = (1024, 2048)  # of the square products; the faster one is the machine's rate


class Case(NamedTuple):
    """One network, how many replicas of it, in which execution mode, and steps per repetition."""

    model: str
    size: str
    replicas: int
    execution: str
    steps: int
    at_most: float | None = None  # the bar applies to the mode that `auto` chooses
    group_size: int = 4


class Machine(NamedTuple):
    """Square products of one size, on several devices at once, and their operations per second."""

    size: int
    devices: int
    rate: float

    @property
    def flops(self) -> int:
        """Operations of one product on every device."""
        return 2 * self.size**3 * self.devices


# Even numbers of replicas, for equal shares on two devices.
CPU = (
    Case("mlp", "paper", 22, "auto", 15, BAR),
    Case("mlp", "paper", 22, "map", 15),
    Case("mlp", "paper", 22, "vmap", 15),
    Case("mlp", "paper", 22, "chunked", 15),
    Case("transformer", "paper", 2, "auto", 3, BAR),
    Case("transformer", "paper", 2, "vmap", 3),
    Case("mixer", "paper", 2, "auto", 10, BAR),
    Case("mixer", "paper", 2, "vmap", 10),
    Case("transformer", "small", 22, "auto", 10, BAR),
    Case("transformer", "small", 22, "vmap", 10),
    Case("mixer", "small", 22, "auto", 10, BAR),
    Case("mixer", "small", 22, "vmap", 10),
    Case("random_features", "", 22, "auto", 30, BAR),
    Case("mean_field", "", 22, "auto", 30, BAR),
)
GPU = (
    Case("mlp", "paper", 440, "auto", 30, BAR),
    Case("mlp", "paper", 440, "vmap", 30),
    Case("mlp", "paper", 440, "chunked", 30, None, 44),
    Case("transformer", "paper", 44, "auto", 5, BAR),
    Case("transformer", "paper", 44, "chunked", 5, None, 11),
    Case("mixer", "paper", 110, "auto", 10, BAR),
    Case("mixer", "paper", 110, "chunked", 10, None, 11),
    Case("transformer", "small", 440, "auto", 10, BAR),
    Case("mixer", "small", 440, "auto", 10, BAR),
    Case("random_features", "", 440, "auto", 30, BAR),
    Case("mean_field", "", 44, "auto", 30, BAR),
)
TINY = (Case("mlp", "paper", 2, "map", 2),)


def measurements(tiny: bool) -> Iterator[Measurement]:
    """Yield the machine's rate and the distance from the floor of every case."""
    rates = machines((64,) if tiny else SIZES)
    for one in rates:
        where = {"size": one.size, "devices": one.devices}
        yield measurement("square products", one.rate / 1e9, "GFLOP/s", where)
    fastest = max(rates, key=lambda one: one.rate)
    for case in TINY if tiny else CPU if jax.default_backend() == "cpu" else GPU:
        yield distance(case, fastest, tiny)


def distance(case: Case, machine: Machine, tiny: bool = False) -> Measurement:
    """Measure the training of one case against square products."""
    config = studies.configuration(
        case.model,
        case.size,
        replicas=case.replicas,
        tiny=tiny,
        execution=case.execution,
        group_size=case.group_size,
    )
    study = studies.Study(config).choose_mode().start().compile()
    model, n = config.model.to_dict(), study.task.n
    batch = config.data.batch_size
    per_step = arithmetic.training_flops(model, n, batch, batch)
    flops = per_step * case.replicas * case.steps

    repetitions = max(1, round(flops / (2 * machine.flops)))  # half as many as the training
    multiply = partial(square_products(machine), repetitions)
    times = alternate(partial(study.advance, case.steps), multiply, PAIRS)
    floor_ratio = times.scaled(machine.flops * repetitions / flops)
    each = 1e3 / (case.replicas * case.steps)
    parts = {name: 1e3 * seconds for name, seconds in profile(study, case).items()}
    return measurement(
        " ".join(filter(None, (case.model, case.size))),
        floor_ratio.median,
        "× the floor",
        {"replicas": case.replicas, "execution": case.execution, "mode": study.mode},
        spread=floor_ratio.spread,
        at_most=case.at_most,
        details={
            "GFLOP/s": flops / times.first.median / 1e9,
            "own_shapes_GFLOP/s": shapes_rate(model, n, batch) / 1e9,
            "step_ms": times.first.median * each,
            "floor_ms": times.first.median * each / floor_ratio.median,
            **parts,
        },
    )


def machines(sizes: tuple[int, ...]) -> list[Machine]:
    """Measure products of several sizes, on one device and on all at once."""
    some = [1, *([len(jax.devices())] if len(jax.devices()) > 1 else [])]
    budget = 2e10 if jax.default_backend() == "cpu" else 4e12
    found = []
    for size, devices in itertools.product(sizes, some):
        one = Machine(size, devices, 0.0)
        count = max(1, int(budget / one.flops))
        seconds = timed(partial(square_products(one), count)).median
        found.append(one._replace(rate=one.flops * count / seconds))
    return found


def square_products(machine: Machine) -> Callable[[int], jax.Array]:
    """Return a function that multiplies square float32 matrices a given number of times."""
    size, mesh = machine.size, device_mesh(jax.devices()[: machine.devices])
    key = jax.random.key(0)
    left = jax.random.normal(key, (machine.devices, size, size))
    # Norms of about 1, so that products neither overflow nor underflow.
    right = jax.random.normal(jax.random.fold_in(key, 1), left.shape) * size**-0.5

    def chain(left: jax.Array, right: jax.Array, count: jax.Array) -> jax.Array:
        def body(_: int, product: jax.Array) -> jax.Array:
            return jnp.dot(product, right, precision=lax.Precision.HIGHEST)

        return lax.fori_loop(0, count, body, left)

    program = over_replicas(chain, mesh, Mode("map"), mapped=2)
    placed = pad((left, right), mesh)
    return lambda count: program(*placed, count)


def shapes_rate(model: dict[str, Any], n: int, batch: int) -> float:
    """Return the operations per second of one replica's forward products, each alone."""
    seconds, flops = 0.0, 0
    for product in arithmetic.products(model, n, batch):
        shapes = [(product.rows, product.inner), (product.inner, product.columns)]
        together = product.count if product.columns * product.rows < 2**12 else 1
        left, right = (jnp.ones((together, *shape)) for shape in shapes)
        count = max(1, int(1e8 / (2 * left.size * product.columns)))
        repeated = jax.jit(partial(_repeat_product, count))
        seconds += (
            timed(partial(repeated, left, right), 3).median / count * (product.count / together)
        )
        flops += product.forward
    return flops / seconds


def _repeat_product(count: int, left: jax.Array, right: jax.Array) -> jax.Array:
    def body(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        left, _ = carry
        product = jnp.matmul(left, right, precision=lax.Precision.HIGHEST)
        # Makes the next product depend on this one; otherwise it would be computed once.
        return left + 0 * product[:, :1, :1], product

    zero = jnp.zeros((*left.shape[:2], right.shape[-1]))
    return lax.fori_loop(0, count, body, (left, zero))[1]


def profile(study: studies.Study, case: Case) -> dict[str, float]:
    """Return the seconds per replica and step of the parts of a step, each alone.

    Each part is a loop over steps inside a program over the replicas, as training is, so it meets
    the same caches.
    """
    ensemble, config = study.ensemble, study.config
    apply = study.program.apply
    transformation = optimizers.optimizer(config.train.optimizer, 0.0, config.train.momentum)
    program = partial(over_replicas, mesh=ensemble.mesh, mode=ensemble.mode)

    def batches(replica: Any, _: Any) -> Any:
        def body(step: jax.Array, total: Any) -> Any:
            made = studies.batch_of(study, replica, step)
            return jax.tree.map(jnp.add, total, made)

        empty = jax.eval_shape(partial(studies.batch_of, study, replica), 0)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), empty)
        return lax.fori_loop(0, case.steps, body, zeros)

    def gradients(params: Any, replica: Any) -> Any:
        made = [studies.batch_of(study, replica, step) for step in (0, 1)]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *made)

        def body(step: jax.Array, _: Any) -> Any:
            one = jax.tree.map(lambda leaf: leaf[step % 2], stacked)
            return jax.grad(lambda p: losses.squared_error(apply(p, one["x"]), one))(params)

        return lax.fori_loop(0, case.steps, body, params)

    def updates(both: Any, gradient: Any) -> Any:
        def body(_: int, both: Any) -> Any:
            params, optimizer = both
            change, optimizer = transformation.update(gradient, optimizer, params)
            return optax.apply_updates(params, change), optimizer

        return lax.fori_loop(0, case.steps, body, both)

    state, replicas = study.state, ensemble.replicas
    each = 1 / (case.replicas * case.steps)
    with jax.default_matmul_precision(ensemble.matmul_precision):
        compiled = program(gradients, mapped=2)
        found = {
            "gradients_ms": timed(partial(compiled, state.params, replicas), 3).median * each,
        }
    compiled = program(batches, mapped=2)
    found["batches_ms"] = timed(partial(compiled, replicas, replicas.conditions), 3).median * each
    # The update is in place, as in training: it donates its first argument.
    update = program(updates, mapped=2, donate=True)
    gradient = jax.tree.map(jnp.ones_like, state.params)
    held = [(jax.tree.map(jnp.copy, state.params), jax.tree.map(jnp.copy, state.optimizer))]

    def step() -> Any:
        held[0] = update(held[0], gradient)
        return held[0]

    return found | {"optimizer_ms": timed(step, 3).median * each}


NOTES = """
- Square products of 1024 and 2048 are measured on one device and on all CPU devices at once; the
  fastest is the machine's rate, so that a way of sharing the cores cannot lower its own floor.
- Operations are counted by hand from the shapes (`arithmetic.py`); a test holds the count
  against the traced programs, product by product.
- Adam is memory traffic: it has no products, so its time is distance from the floor at any rate.

What was tried, each beside the code before it, in turn on an idle machine (medians; 2 cores of
an AMD EPYC, family 25, with 32 MiB of shared cache):
- MLP, 3.16 ms per replica-step by `map` on two devices: 2.52 of gradients (1.3 x the floor: at
  the network's own shapes one core makes 84 to 101 of the 104 GFLOP/s of square products), .60
  of Adam. Adam with its bias corrections folded into two scalars, one division instead of three:
  1.5 %. A barrier between gradients and update, which spares a copy of the parameters: 1 %.
  Both: 2.5 %; a barrier per layer instead: the same. Left out: own code for an optimizer has to
  earn more.
- Adam row block by row block in a loop, to keep moments in the second-level cache: the step took
  1.3 to 2 x as long; why was not looked into. Huge pages for malloc: nothing. One device for both
  cores: the same by `map`. `vmap`: 1.2 x slower, `chunked`: 1.3 x (several states out of cache).
- Transformer: gelu whose gradient is computed from its input alone, and `nn.remat` that keeps
  the results of products only: 1.10 x faster. Keeping nothing: 1.03. What is left is products:
  the gradient by the input of queries, keys and values runs at half the rate of the square ones.
- Mixer: products over the tokens with a gradient of their own, which transposes nothing: 1.4 x
  faster; with the gelu 1.76; with `nn.remat` 2.3 in all, at a seventh of the memory. Keeping the
  products over the tokens too: 2 % slower. What is left is traffic: its products over the tokens
  have 11 rows, and its widest arrays are normalized, activated and transposed at 3 MB each.
- Unrolling the scan over layers (2, 4, 12 at once): slower each time, and compiling took up to 3
  x.
- Evaluation in chunks of 256 inputs instead of 4,096, which stay in cache: 1.6 x (small
  Transformer), 2.1 x (small Mixer) faster, the same for the MLP.
"""
