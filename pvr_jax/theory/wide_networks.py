"""Networks of infinite width, whose training on the square loss is regression with a kernel.

On the cube all inputs have the same norm, so such a kernel depends on the Hamming distance of two
inputs only, and all its eigenvectors of one degree share an eigenvalue.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pvr_jax.refusal import Refusal
from pvr_jax.theory.krawtchouk import eigenvalues_of

KINDS = ("ntk", "nngp")
# Of an eigenvalue, relative to the kernel's largest value; see `krawtchouk.eigenvalues_of`.
ROUNDING = 1e-15

# Of the NTK parametrisation, as in `models.initialisation`.
NTK_BIAS_SCALE = 0.1
NODES = 24  # of Gauss-Hermite quadrature, exact for polynomials up to degree 47

# From a covariance [...] and the variance of two Gaussians u, v: E φ(u) φ(v) and E φ'(u) φ'(v).
Moments = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]


class Layer(NamedTuple):
    """A dense layer y = W x + b, as far as the wide limit depends on it.

    `weight_variance` is that of one weight times the fan-in, `bias_variance` that of one bias. A
    step of gradient descent moves y by `weight_gain` times the mean of x x' over the fan-in, plus
    `bias_gain`: the variances themselves in NTK parametrisation, the fan-in and 1 where W and b
    are the parameters.
    """

    weight_variance: float
    bias_variance: float
    weight_gain: float
    bias_gain: float


def relu_kernel_eigenvalues(
    n: int, depth: int, weight_variance: float, bias_variance: float, kind: str = "ntk"
) -> np.ndarray:
    """Eigenvalues by degree of an infinitely wide ReLU network on {-1,+1}^n.

    Args:
        n: coordinates, 1 to 30.
        depth: hidden layers, 1 or more; the readout is linear.
        weight_variance: of a weight times its fan-in, in every layer.
        bias_variance: of a bias, in every layer.
        kind: ntk (all layers train) or nngp (the readout trains).

    Returns:
        μ float64 [n + 1], with k(x, y) = Σ_S μ_|S| χ_S(x) χ_S(y). What is within rounding of zero
        is 0, as are the odd degrees from 3 on at depth 1 without bias.

    Raises ValueError naming the argument.
    Source: Cho and Saul 2009 (arc-cosine kernels); Jacot et al. 2018 (NTK), in its
    parametrisation.
    """
    layers = _ntk_layers(depth, weight_variance, bias_variance)
    return wide_eigenvalues(n, layers, relu_moments, kind)


def erf_kernel_eigenvalues(
    n: int, depth: int, weight_variance: float, bias_variance: float, kind: str = "ntk"
) -> np.ndarray:
    """The same for erf networks; arguments, result and errors as `relu_kernel_eigenvalues`.

    Source: Williams 1997 (kernel of the error function); Jacot et al. 2018 (NTK).
    """
    layers = _ntk_layers(depth, weight_variance, bias_variance)
    return wide_eigenvalues(n, layers, erf_moments, kind)


def plain_layers(n: int, widths: Sequence[int], alpha: float = 0.5) -> tuple[Layer, ...]:
    """Layers of n -> widths -> 1 whose weights and biases start uniform in +-fan_in^-alpha.

    With alpha = ½ these are PyTorch's linear layers, of the networks of Abbe et al. 2022. Widths
    matter: the wider a layer, the more of the training happens in the one after it.
    """
    layers = []
    for fan_in in (n, *widths):
        variance = fan_in ** (-2 * alpha) / 3
        layers.append(Layer(fan_in * variance, variance, float(fan_in), 1.0))
    return tuple(layers)


def mlp_layers(
    n: int,
    widths: Sequence[int],
    initialisation: str = "pytorch",
    alpha: float = 0.5,
    biases: bool = True,
) -> tuple[Layer, ...]:
    """Layers of the MLP n -> widths -> 1 by the name of its initialisation.

    "pytorch" and "scaled" (with `alpha`): see `plain_layers`; "lecun": weights of variance
    1/fan_in, biases from 0; "ntk": Jacot et al. 2018, biases scaled by NTK_BIAS_SCALE. Without
    `biases` no layer has one.

    Raises ValueError for another name: under maximal update a network has no kernel limit.
    """
    if initialisation in ("pytorch", "scaled"):
        layers = plain_layers(n, widths, alpha)
    elif initialisation == "lecun":
        layers = tuple(Layer(1.0, 0.0, float(fan_in), 1.0) for fan_in in (n, *widths))
    elif initialisation == "ntk":
        bias = NTK_BIAS_SCALE**2
        layers = (Layer(1.0, bias, 1.0, bias),) * (len(widths) + 1)
    else:
        raise Refusal(
            f"initialisation: given {initialisation}; allowed pytorch, scaled, lecun, ntk: under "
            "maximal update the tangent kernel moves at any width"
        )
    if biases:
        return layers
    return tuple(layer._replace(bias_variance=0.0, bias_gain=0.0) for layer in layers)


def random_features_layers(n: int) -> tuple[Layer, ...]:
    """Layers of a readout without bias over features of W x + b, all of them from N(0, 1/n).

    To be used with kind "nngp": only the readout trains, or starts at 0, so that nothing else has a
    gradient.
    """
    return Layer(1.0, 1 / n, 0.0, 0.0), Layer(1.0, 0.0, 0.0, 0.0)


def wide_eigenvalues(
    n: int, layers: Sequence[Layer], moments: Moments, kind: str = "ntk"
) -> np.ndarray:
    """Eigenvalues μ [n + 1] by degree of a wide network; what is within rounding of zero is 0.

    `layers` from the input to the linear readout, `moments` of the function between them
    (`relu_moments`, `erf_moments`). Raises ValueError for another n or kind.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 1 <= n <= 30:
        raise Refusal(f"n: given {n!r}; allowed 1 to 30")
    kernel = wide_kernel(1 - 2 * np.arange(n + 1) / n, layers, moments, kind)
    eigenvalues = eigenvalues_of(kernel)
    return np.where(eigenvalues > ROUNDING * np.abs(kernel).max(), eigenvalues, 0.0)


def wide_kernel(
    cosines: np.ndarray, layers: Sequence[Layer], moments: Moments, kind: str = "ntk"
) -> np.ndarray:
    """The kernel of a wide network between inputs of norm √n with these cosines: [...] to [...].

    Layer by layer, with m the mean product of a layer's inputs and w, b its variances: the
    covariance of its outputs is Σ = w m + b, and the tangent kernel Θ ← gains + w Θ E φ' φ'.
    Raises ValueError for another kind.
    """
    if kind not in KINDS:
        raise Refusal(f"kind: given {kind!r}; allowed {', '.join(KINDS)}")
    products = np.asarray(cosines, np.float64)
    square = 1.0  # the mean product of an input with itself
    slopes = tangent = np.zeros_like(products)
    for layer in layers:
        covariance = layer.weight_variance * products + layer.bias_variance
        variance = layer.weight_variance * square + layer.bias_variance
        tangent = (
            layer.weight_gain * products
            + layer.bias_gain
            + layer.weight_variance * tangent * slopes
        )
        products, slopes = moments(covariance, variance)
        square = float(moments(np.asarray(variance), variance)[0])
    return tangent if kind == "ntk" else covariance


def relu_moments(covariance: np.ndarray, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Moments of ReLU, for Gaussians of this covariance [...] and variance (Cho and Saul 2009)."""
    cosine = np.clip(covariance / variance, -1.0, 1.0)
    angle = np.arccos(cosine)
    products = variance * (np.sqrt(1 - cosine**2) + (np.pi - angle) * cosine) / (2 * np.pi)
    return products, (np.pi - angle) / (2 * np.pi)


def erf_moments(covariance: np.ndarray, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Moments of erf, for Gaussians of this covariance [...] and variance (Williams 1997)."""
    scale = 1 + 2 * variance
    ratio = 2 * covariance / scale
    return 2 / np.pi * np.arcsin(ratio), 4 / np.pi / (scale * np.sqrt(1 - ratio**2))


def power_moments(covariance: np.ndarray, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Moments of (1 + h)^6, the polynomial random features of Abbe et al. 2023."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    covariance = np.asarray(covariance, np.float64)[..., None, None]
    first = np.sqrt(variance) * nodes[:, None]
    rest = np.sqrt(np.maximum(variance - np.square(covariance) / variance, 0))
    second = covariance / variance * first + rest * nodes[None, :]
    both = weights[:, None] * weights[None, :]

    def mean(values: np.ndarray) -> np.ndarray:
        return (both * values).sum(axis=(-2, -1))

    return mean((1 + first) ** 6 * (1 + second) ** 6), 36 * mean(
        (1 + first) ** 5 * (1 + second) ** 5
    )


def _ntk_layers(depth: int, weight_variance: float, bias_variance: float) -> tuple[Layer, ...]:
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer) or depth < 1:
        raise Refusal(f"depth: given {depth!r}; allowed whole numbers of hidden layers from 1")
    if not 0 < weight_variance < np.inf:
        raise Refusal(f"weight_variance: given {weight_variance!r}; allowed numbers above 0")
    if not 0 <= bias_variance < np.inf:
        raise Refusal(f"bias_variance: given {bias_variance!r}; allowed numbers from 0")
    layer = Layer(weight_variance, bias_variance, weight_variance, bias_variance)
    return (layer,) * (depth + 1)
