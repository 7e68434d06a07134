"""What does a linear student learn of a polynomial if one coordinate is hidden from it?"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks, tasks
from pvr_jax.boolean import cube, float64
from pvr_jax.experiment import Experiment, Program, task_of
from pvr_jax.results import Measure

HALF = {"units": "half squared error", "bounds": (0, np.inf)}
MEASURES = {
    "generalization_error": Measure("error", "½E(g − f)² over the whole cube.", **HALF),
    "predicted_generalization_error": Measure(
        "predicted error", "½E(h − f)², h the best linear function.", kind="prediction", **HALF
    ),
    "weights": Measure("weight", "Of every coordinate.", dims=("coordinate",)),
}


def build(config, replicas):
    n = config.task.n
    x = cube.points(n).astype(jnp.float32)
    truth = tasks.exact_values(task_of(config))

    def show(masked):
        return jnp.where(jnp.arange(n) == masked, 0.0, 1.0)

    def batch(key, step, masked):
        rows = jax.random.randint(jax.random.fold_in(key, step), (config.data.batch_size,), 0, 2**n)
        y = jnp.asarray(truth, jnp.float32)[rows]
        return {"x": x[rows] * show(masked)[None], "y": y, "weight": jnp.ones(len(rows))}

    def measure(weights, drawn, masked):
        values = cube.points(n).astype(weights.dtype) @ (
            weights * show(masked).astype(weights.dtype)
        )
        error = 0.5 * jnp.mean(jnp.square(values - jnp.asarray(truth, weights.dtype)))
        return {"generalization_error": error, "weights": weights}

    return Program(
        init=partial(jax.random.normal, shape=(n,)),
        apply=lambda params, x: x @ params,
        batch=batch,
        outputs=lambda params, drawn, **own: params,
        measure=measure,
        steps_per_epoch=2**n // config.data.batch_size,
        title="a linear student",
    )


def best_linear(config, replicas, learned):
    coefficients = float64.exact_spectrum(tasks.exact_values(task_of(config)))
    squares = coefficients**2
    linear = [squares[cube.index((i,), config.task.n)] for i in range(config.task.n)]
    kept = [sum(linear) - linear[masked] for masked in replicas["masked"]]
    return {"predicted_generalization_error": 0.5 * (squares.sum() - np.array(kept))}


EXPERIMENT = Experiment(
    name="masked_student",
    measures=MEASURES,
    axes=lambda config: {"masked": config.data.masked},
    streams={"init": ("seed", "masked"), "data": ("seed",)},
    rules={
        "data.masked": checks.list_of(checks.integer(0), "0,1"),
        "data.batch_size": checks.integer(1),
    },
    build=build,
    predict={"best linear": best_linear},
)
