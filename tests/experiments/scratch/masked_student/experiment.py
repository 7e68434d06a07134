"""What does a linear student learn of a polynomial if one coordinate is hidden from it?"""

import jax
import jax.numpy as jnp

from pvr_jax import checks, tasks
from pvr_jax.boolean import cube, float64
from pvr_jax.experiment import Experiment, Program, task_of
from pvr_jax.results import Measure

ERROR, HALF = "generalization_error", {"units": "half squared error", "bounds": (0, jnp.inf)}


def build(config, replicas):
    n, truth = config.task.n, tasks.exact_values(task_of(config))

    def seen(x, masked):
        return jnp.where(jnp.arange(n)[None] == masked, 0.0, x)

    def batch(key, step, masked):
        rows = jax.random.randint(jax.random.fold_in(key, step), (8,), 0, 2**n)
        x, y = seen(cube.points_at(rows, n), masked), jnp.asarray(truth, jnp.float32)[rows]
        return {"x": x, "y": y, "weight": jnp.ones(8)}

    def measure(weights, drawn, masked):
        values = seen(cube.points(n).astype(weights.dtype), masked) @ weights
        error = 0.5 * jnp.mean(jnp.square(values - jnp.asarray(truth, weights.dtype)))
        return {ERROR: error, "weights": weights}

    return Program(
        init=lambda key: jax.random.normal(key, (n,)),
        apply=lambda params, x: x @ params,
        batch=batch,
        outputs=lambda params, drawn, **own: params,
        measure=measure,
    )


def best_linear(config, replicas, learned):
    squares, n = float64.exact_spectrum(tasks.exact_values(task_of(config))) ** 2, config.task.n
    linear = squares[[cube.index((i,), n) for i in range(n)]]
    return {f"predicted_{ERROR}": 0.5 * (squares.sum() - linear.sum() + linear[replicas["masked"]])}


EXPERIMENT = Experiment(
    name="masked_student",
    measures={
        ERROR: Measure("error", "½E(g − f)² over the whole cube.", **HALF),
        f"predicted_{ERROR}": Measure("best", "½E(h − f)², h the best linear function.", **HALF),
        "weights": Measure("weight", "Of every coordinate.", dims=("coordinate",)),
    },
    axes=lambda config: {"masked": config.data.masked},
    streams={"init": ("seed", "masked"), "data": ("seed",)},
    rules={"data.masked": checks.list_of(checks.integer(0), "0,1")},
    build=build,
    predict={"best linear": best_linear},
)
