"""What an ensemble costs, from its programs: FLOPs, memory per device, bytes of checkpoints.

Programs are traced and compiled, never run, so devices and replicas need not exist here.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jax.stages import Compiled

from pvr_jax.training.checkpoint import RESUMABLE
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.loop import Schedule
from pvr_jax.training.replicas import BATCH_AXIS

COLLECTIVE = re.compile(
    r"\b(all-gather|all-reduce|all-to-all|collective-\w+|reduce-scatter|ragged-all-to-all)"
    r"(?:-start)?\("
)


class Flops(NamedTuple):
    """Floating-point operations of one replica: of a step, and of an evaluation."""

    step: int
    evaluation: int


class Memory(NamedTuple):
    """Peak bytes of a device in each program, with all that a run holds there meanwhile."""

    start: int
    advance: int
    evaluate: int


class Programs(NamedTuple):
    """The compiled programs of an ensemble."""

    start: Compiled
    advance: Compiled
    evaluate: Compiled

    @property
    def memory(self) -> Memory:
        """Peak bytes per device, by the compiler's account of each program.

        That is code, arguments, outputs and temporaries, minus outputs that replace arguments. An
        evaluation is not given the optimizer's state, which stays in memory all the same.
        """
        start, advance, evaluate = (program.memory_analysis() for program in self)
        begin = start.argument_size_in_bytes + _own(start)
        held = advance.argument_size_in_bytes
        return Memory(begin, held + _own(advance), held + _own(evaluate))

    @property
    def collectives(self) -> tuple[str, ...]:
        """Names of the operations by which devices communicate."""
        texts = (program.as_text() for program in self)
        return tuple(sorted({name for text in texts for name in COLLECTIVE.findall(text)}))


def _own(found: Any) -> int:
    """Return the bytes of a program besides its arguments."""
    new = found.output_size_in_bytes - found.alias_size_in_bytes
    return new + found.temp_size_in_bytes + found.generated_code_size_in_bytes


def compiled(ensemble: Ensemble) -> Programs:
    """Compile all programs of an ensemble, in the arithmetic in which a run compiles them."""
    start = ensemble.start_program.lower(ensemble.replicas).compile()
    state = ensemble.shapes(padded=True)
    with jax.default_matmul_precision(ensemble.matmul_precision):
        lowered = ensemble.advance_program.lower(state, ensemble.replicas, 0, 0)
        advance = lowered.compile()
    evaluate = ensemble.with_compiled_evaluation(state).evaluate_program
    return Programs(start, advance, evaluate)


def flops(ensemble: Ensemble) -> Flops:
    """Count the FLOPs of one replica, those of matrix products and convolutions.

    They are counted in the traced programs: XLA's own count (`cost_analysis`) takes the body of a
    loop once, so of a scan over layers, or over the inputs of an evaluation, only one.
    """
    state, replicas = ensemble.shapes(padded=True), ensemble.replicas
    step = jax.make_jaxpr(ensemble.advance_program)(state, replicas, 0, 1)
    evaluation = jax.make_jaxpr(ensemble.evaluate_program)(state.params, state.carry, replicas)
    shared = ensemble.mesh.shape[BATCH_AXIS]
    return Flops(
        of_products(step) * shared // ensemble.share, of_products(evaluation) // ensemble.share
    )


def checkpoint_bytes(ensemble: Ensemble, schedule: Schedule) -> int:
    """Return the bytes of a finished run's checkpoints, before compression.

    Every kept step has the parameters, the newest two the rest of the state too; with padding.
    """
    state = ensemble.shapes(padded=True)
    params = bytes_of(state.params)
    rest = bytes_of(state) - params
    return params * len(schedule.kept) + rest * min(RESUMABLE, len(schedule.kept))


def bytes_of(tree: Any) -> int:
    """Return the bytes of all arrays of a tree, or of their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def size_of(tree: Any) -> int:
    """Return the number of numbers in a tree of arrays, or of their shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def of_products(program: Jaxpr | ClosedJaxpr) -> int:
    """Return the FLOPs of the matrix products and convolutions of a program, 2 per multiply-add.

    A loop counts as often as it runs if that is known, else once; of branches, the largest.
    """
    return sum(map(_of_equation, program.eqns))


def _of_equation(equation: JaxprEqn) -> int:
    name, parameters = equation.primitive.name, equation.params
    inside = [of_products(program) for program in _programs_in(parameters)]
    if name == "cond":
        return max(inside)
    if name == "scan":
        return parameters["length"] * sum(inside)
    size = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2 * size * math.prod(shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        features = kernel[parameters["dimension_numbers"].rhs_spec[0]]
        return 2 * size * math.prod(kernel) // features
    return sum(inside)


def _programs_in(parameters: dict[str, Any]) -> Iterator[Jaxpr | ClosedJaxpr]:
    for value in parameters.values():
        for each in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(each, (Jaxpr, ClosedJaxpr)):
                yield each
