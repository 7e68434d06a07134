"""Infinitely wide networks, whose training on the squared loss is kernel regression.

On the cube all inputs have the same norm, so the kernel depends on the Hamming distance of two
inputs only, and has one eigenvalue per degree.

Pre-activations of the first layer are sums over the n inputs, Gaussian only if the weights are;
`first_layer` has their exact moments for uniform and truncated normal weights. Those of later
layers are sums over infinitely many units, and Gaussian for every distribution of the weights.
"""

import decimal
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from pvr_jax.boolean.krawtchouk import eigenvalues_of, krawtchouk
from pvr_jax.refusal import Refusal
from pvr_jax.theory import digits, first_layer

KINDS = ("ntk", "nngp")
PERTURBATION = 1e-14  # relative rounding of the moments of a non-Gaussian first layer
LARGEST_N = 300  # eigenvalues of more coordinates fall below float64, and take minutes
LARGEST_SUM = 128  # weights of a non-Gaussian first layer
CLEAR = 100  # times its rounding: an eigenvalue that is known

# Of the NTK parametrization, as in `models.initialization`.
NTK_BIAS_SCALE = 0.1
POWER = 6  # of the polynomial random features

# Maps covariance [...] and variance of two Gaussians u, v to E φ(u) φ(v) and E φ'(u) φ'(v), in
# the arithmetic of the arguments, float64 or decimal.
Moments = Callable[[np.ndarray, Any], tuple[np.ndarray, np.ndarray]]


class Activation(NamedTuple):
    """φ, φ' and their moments under a Gaussian."""

    function: first_layer.Function
    slope: first_layer.Function
    moments: Moments


class Layer(NamedTuple):
    """A dense layer y = W x + b in the wide limit.

    `weight_variance` is that of one weight times the fan-in, `bias_variance` that of one bias. A
    step of gradient descent moves y by `weight_gain` times the mean of x x' over the fan-in, plus
    `bias_gain`: the variances themselves in NTK parametrization, the fan-in and 1 where W and b
    are the parameters. `distribution` of weights and biases, "normal" or one of
    `first_layer.DENSITIES`, makes a difference in the first layer only.
    """

    weight_variance: float
    bias_variance: float
    weight_gain: float
    bias_gain: float
    distribution: str = "normal"


def relu_kernel_eigenvalues(
    n: int, depth: int, weight_variance: float, bias_variance: float, kind: str = "ntk"
) -> np.ndarray:
    """Eigenvalues by degree of an infinitely wide ReLU network on {-1,+1}^n.

    Args:
        n: coordinates, 1 to 300.
        depth: hidden layers, 1 or more; the readout is linear.
        weight_variance: of a weight times its fan-in, in every layer.
        bias_variance: of a bias, in every layer.
        kind: ntk (all layers train) or nngp (the readout trains).

    Returns:
        μ float64 [n + 1], with k(x, y) = Σ_S μ_|S| χ_S(x) χ_S(y), however small; exactly 0 for
        degrees that the kernel lacks, such as odd ones from 3 on at depth 1 without bias.

    Raises ValueError naming the argument.
    Source: Cho and Saul 2009 (arc-cosine kernels); Jacot et al. 2018 (NTK), in its
    parametrization.
    """
    layers = _ntk_layers(depth, weight_variance, bias_variance)
    return wide_eigenvalues(n, layers, RELU, kind)


def erf_kernel_eigenvalues(
    n: int, depth: int, weight_variance: float, bias_variance: float, kind: str = "ntk"
) -> np.ndarray:
    """The same for erf networks; arguments, result and errors as `relu_kernel_eigenvalues`.

    Source: Williams 1997 (kernel of the error function); Jacot et al. 2018 (NTK).
    """
    layers = _ntk_layers(depth, weight_variance, bias_variance)
    return wide_eigenvalues(n, layers, ERF, kind)


def plain_layers(n: int, widths: Sequence[int], alpha: float = 0.5) -> tuple[Layer, ...]:
    """Layers of n -> widths -> 1 with weights and biases uniform in +-fan_in^-alpha.

    With alpha = ½ these are PyTorch's linear layers, as in Abbe et al. 2022. Widths matter: the
    wider a layer, the larger the share of training in the next one.
    """
    layers = []
    for fan_in in (n, *widths):
        with np.errstate(over="ignore"):
            variance = float(np.float64(fan_in) ** (-2 * alpha)) / 3
        layers.append(Layer(fan_in * variance, variance, float(fan_in), 1.0, "uniform"))
    return tuple(layers)


def mlp_layers(
    n: int,
    widths: Sequence[int],
    initialisation: str = "pytorch",
    alpha: float = 0.5,
    biases: bool = True,
) -> tuple[Layer, ...]:
    """Layers of the MLP n -> widths -> 1 by the name of its initialization.

    "pytorch" and "scaled" (with `alpha`): see `plain_layers`; "lecun": truncated normal weights of
    variance 1/fan_in, biases from 0; "ntk": Jacot et al. 2018, biases scaled by NTK_BIAS_SCALE.
    Without `biases` no layer has one.

    Raises ValueError for another name: maximal update has no kernel limit.
    """
    if initialisation in ("pytorch", "scaled"):
        layers = plain_layers(n, widths, alpha)
    elif initialisation == "lecun":
        layers = tuple(
            Layer(1.0, 0.0, float(fan_in), 1.0, "truncated_normal") for fan_in in (n, *widths)
        )
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
    """Layers of a readout without bias over features of W x + b, with W, b from N(0, 1/n).

    Use with kind "nngp": only the readout trains, or it starts at 0, so that nothing else has a
    gradient.
    """
    return Layer(1.0, 1 / n, 0.0, 0.0), Layer(1.0, 0.0, 0.0, 0.0)


def wide_eigenvalues(
    n: int, layers: Sequence[Layer], activation: Activation, kind: str = "ntk"
) -> np.ndarray:
    """Eigenvalues μ [n + 1] by degree of a wide network.

    `layers` from the input to the linear readout, with `activation` RELU, ERF or POLYNOMIAL between
    them. Exactly 0 for degrees that the kernel lacks; NaN if too small for float64, or unknown,
    because the moments of a non-Gaussian first layer, but those of ReLU under uniform weights, have
    the rounding of float64.

    Raises ValueError for another n (up to 300; 128 where the first layer is not Gaussian), kind or
    distribution, or layers that are not finite or without weights.
    """
    largest = LARGEST_N if layers[0].distribution == "normal" else LARGEST_SUM
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 1 <= n <= largest:
        raise Refusal(f"n: given {n!r}; allowed 1 to {largest}")
    with decimal.localcontext(prec=digits.DIGITS):
        if layers[0].distribution == "normal" or _has_exact_moments(layers[0], activation):
            return digits.rounded(eigenvalues_of(_kernel(n, layers, activation, kind)))
        # μ_S is the mean of a squared coefficient, a function of the weights: if it is 0 for the
        # normal distribution, which has full support, it is 0 for every distribution.
        normal = [layer._replace(distribution="normal") for layer in layers]
        lacking = digits.rounded(eigenvalues_of(_kernel(n, normal, activation, kind))) == 0
        kernel = _kernel(n, layers, activation, kind)
        perturbed = _kernel(n, layers, activation, kind, PERTURBATION)
        eigenvalues = eigenvalues_of(kernel).astype(np.float64)
    moved = np.square(perturbed - kernel).astype(np.float64)
    rounding = np.sqrt(moved @ krawtchouk(n) ** 2) / 2.0**n
    eigenvalues[eigenvalues <= CLEAR * rounding] = np.nan
    return np.where(lacking, 0.0, eigenvalues)


def wide_kernel(
    n: int, layers: Sequence[Layer], activation: Activation, kind: str = "ntk"
) -> np.ndarray:
    """The kernel κ float64 [n + 1] of a wide network by the Hamming distance of two inputs.

    Layer by layer, with m the mean product of a layer's inputs and w, b its variances: the
    covariance of its outputs is Σ = w m + b, and the tangent kernel Θ ← gains + w Θ E φ' φ'.
    Arguments and errors as `wide_eigenvalues`.
    """
    with decimal.localcontext(prec=digits.DIGITS):
        return _kernel(n, layers, activation, kind).astype(np.float64)


def _kernel(
    n: int, layers: Sequence[Layer], activation: Activation, kind: str, perturbation: float = 0.0
) -> np.ndarray:
    """The kernel of decimals [n + 1] by distance, with a relative perturbation of moments."""
    if kind not in KINDS:
        raise Refusal(f"kind: given {kind!r}; allowed {', '.join(KINDS)}")
    for layer in layers:
        if not np.isfinite(layer[:4]).all() or not layer.weight_variance > 0:
            raise Refusal(
                f"layers: given {layer}; allowed finite numbers, variances of weights above 0"
            )
    n = int(n)
    products = np.array([Decimal(n - 2 * distance) / n for distance in range(n + 1)])
    covariance = tangent = slopes = 0 * products
    for position, layer in enumerate(layers):
        if position == 1 and layers[0].distribution != "normal":
            products, slopes = _first_moments(n, layers[0], activation)
            moved = np.array([Decimal(1), *[1 + Decimal(perturbation)] * n])
            products, slopes = products * moved, slopes * moved
        elif position:
            products, slopes = activation.moments(covariance, covariance[0])
        weight_variance, bias_variance, weight_gain, bias_gain = map(Decimal, map(float, layer[:4]))
        covariance = weight_variance * products + bias_variance
        tangent = weight_gain * products + bias_gain + weight_variance * tangent * slopes
    return tangent if kind == "ntk" else covariance


def _has_exact_moments(layer: Layer, activation: Activation) -> bool:
    return layer.distribution == "uniform" and activation == RELU


@lru_cache(maxsize=16)
def _first_moments(n: int, layer: Layer, activation: Activation) -> tuple[np.ndarray, np.ndarray]:
    """Moments, decimals [n + 1] by distance, of a non-Gaussian first layer."""
    variance = layer.weight_variance / n
    if layer.bias_variance and not math.isclose(layer.bias_variance, variance):
        raise Refusal(f"bias_variance: given {layer.bias_variance}; allowed 0, {variance}")
    agreeing = n + bool(layer.bias_variance)
    if _has_exact_moments(layer, activation):
        exact = [first_layer.exact_relu_moments(agreeing - h, h) for h in range(n + 1)]
        products, slopes = np.array(
            [[Decimal(m.numerator) / m.denominator for m in pair] for pair in exact]
        ).T
        return products * 3 * Decimal(variance), slopes  # a weight's half-width is √(3 variance)
    pairs = [
        first_layer.moments(
            layer.distribution,
            variance**0.5,
            agreeing - h,
            h,
            activation.function,
            activation.slope,
        )
        for h in range(n + 1)
    ]
    products, slopes = np.array([[Decimal(moment) for moment in pair] for pair in pairs]).T
    return products, slopes


def relu_moments(covariance: np.ndarray, variance: Any) -> tuple[np.ndarray, np.ndarray]:
    """Moments of ReLU, for Gaussians of this covariance [...] and variance (Cho and Saul 2009)."""
    cosine = np.minimum(np.maximum(covariance / variance, -1), 1)
    pi = 2 * digits.arcsin(cosine * 0 + 1)
    angle = pi / 2 + digits.arcsin(cosine)  # π minus the angle between the two
    products = variance * (np.sqrt(1 - cosine**2) + angle * cosine) / (2 * pi)
    return products, angle / (2 * pi)


def erf_moments(covariance: np.ndarray, variance: Any) -> tuple[np.ndarray, np.ndarray]:
    """Moments of erf, for Gaussians of this covariance [...] and variance (Williams 1997)."""
    scale = 1 + 2 * variance
    ratio = 2 * covariance / scale
    pi = 2 * digits.arcsin(ratio * 0 + 1)
    return 2 / pi * digits.arcsin(ratio), 4 / pi / (scale * np.sqrt(1 - ratio**2))


def power_moments(covariance: np.ndarray, variance: Any) -> tuple[np.ndarray, np.ndarray]:
    """Moments of (1 + h)^6, the polynomial random features of Abbe et al. 2023."""
    return (
        _power_product(POWER, covariance, variance),
        POWER**2 * _power_product(POWER - 1, covariance, variance),
    )


def _power_product(degree: int, covariance: np.ndarray, variance: Any) -> np.ndarray:
    """E (1 + u)^d (1 + v)^d = Σ_j c^j / j! (E φ^(j))², φ^(j) = d! / (d - j)! (1 + h)^(d - j)."""

    def mean(power: int) -> Any:
        # E h^2i = (2i - 1)!! variance^i, and (2i - 1)!! = (2i)! / (i! 2^i).
        return sum(
            math.comb(power, 2 * i) * (math.perm(2 * i, i) // 2**i) * variance**i
            for i in range(power // 2 + 1)
        )

    return sum(
        math.comb(degree, j) * math.perm(degree, j) * mean(degree - j) ** 2 * covariance**j
        for j in range(degree + 1)
    )


RELU = Activation(lambda h: np.maximum(h, 0), lambda h: (h > 0).astype(np.float64), relu_moments)
ERF = Activation(
    scipy.special.erf, lambda h: 2 / math.sqrt(math.pi) * np.exp(-np.square(h)), erf_moments
)
POLYNOMIAL = Activation(
    lambda h: (1 + h) ** POWER, lambda h: POWER * (1 + h) ** (POWER - 1), power_moments
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
