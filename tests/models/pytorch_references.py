"""Every model once more, in PyTorch and in float64, from the same trees of parameters.

The networks of the paper are the modules of the benchmarks; the others are functions, whose kernels
are [fan_in, fan_out]. They share nothing with `pvr_jax.models` but the trees. Importing this needs
PyTorch; tests skip, and say so, where it is not.
"""

import math
from functools import partial

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrize import register_parametrization

from benchmarks import pytorch_networks

NTK_BIAS_SCALE = 0.1


class Multiplied(nn.Module):
    """A parametrization: what the layer uses is a multiple of what is trained."""

    def __init__(self, multiplier):
        super().__init__()
        self.multiplier = multiplier

    def forward(self, trained):
        return self.multiplier * trained


def parametrize(network, initialisation):
    """Give the layers of an MLP the multipliers of a parametrization."""
    for layer in network.layers:
        if not isinstance(layer, nn.Linear):
            continue
        fan_in, fan_out = layer.in_features, layer.out_features
        weight_multiplier, bias_multiplier = {
            "ntk": (1 / math.sqrt(fan_in), NTK_BIAS_SCALE),
            "mup": (math.sqrt(fan_out) / math.sqrt(fan_in), math.sqrt(fan_out)),
            "mup_adam": (1 / fan_in, 1),
        }.get(initialisation, (1, 1))
        register_parametrization(layer, "weight", Multiplied(weight_multiplier))
        register_parametrization(layer, "bias", Multiplied(bias_multiplier))


def to_tensors(params):
    """Return a tree of arrays as float64 tensors to be trained."""
    if isinstance(params, dict):
        return {name: to_tensors(leaf) for name, leaf in params.items()}
    return torch.tensor(params, dtype=torch.float64, requires_grad=True)


def leaves(tree):
    """Return the tensors of a tree, in the order of its keys."""
    if isinstance(tree, dict):
        return [leaf for name in sorted(tree) for leaf in leaves(tree[name])]
    return [tree]


def dense(params, x):
    return functional.linear(x, params["kernel"].T, params.get("bias"))


def linear(params, x, **_):
    for index in range(len(params)):
        x = dense(params[f"Dense_{index}"], x)
    return x[:, 0]


def random_features(params, x, features, kind="relu", trainable=False, scale="none"):
    layer = params["random_layer"]
    if not trainable:
        layer = {name: leaf.detach() for name, leaf in layer.items()}
    hidden = dense(layer, x)
    hidden = torch.relu(hidden) if kind == "relu" else torch.pow(1 + hidden, 6) / 1000
    outputs = dense(params["readout"], hidden)[:, 0]
    return outputs / math.sqrt(features) if scale == "inverse_sqrt" else outputs


def mean_field(params, x, width, **_):
    return dense(params["Dense_1"], torch.relu(dense(params["Dense_0"], x)))[:, 0] / width


FORMULAS = {
    "linear_regression": linear,
    "deep_linear": linear,
    "random_features": random_features,
    "mean_field": mean_field,
}


def reference(name, n, params, **parameters):
    """Return (a function of x [b, n] -> outputs [b], the tensors that training changes)."""
    if name in FORMULAS:
        tensors = to_tensors(params)
        return partial(FORMULAS[name], tensors, **parameters), leaves(tensors)
    network = pytorch_networks.build(name, n, **parameters).double()
    pytorch_networks.load(network, params)
    if name == "mlp":
        parametrize(network, parameters.get("initialisation"))
    return network, list(network.parameters())


def outputs(name, params, x, **parameters):
    """Return the outputs [b] of a model in float64, as a NumPy array."""
    apply, _ = reference(name, x.shape[1], params, **parameters)
    with torch.no_grad():
        return apply(torch.tensor(x, dtype=torch.float64)).numpy()


def step(name, params, batch, points, optimizer, rate, **parameters):
    """Return (loss of the batch, outputs [p] at the points after one step) in float64."""
    apply, tensors = reference(name, points.shape[1], params, **parameters)
    x, y, points = (
        torch.tensor(values, dtype=torch.float64) for values in (batch["x"], batch["y"], points)
    )
    optimizer = {
        "adam": lambda: torch.optim.Adam(tensors, lr=rate),
        "sgd": lambda: torch.optim.SGD(tensors, lr=rate, momentum=0.9),
    }[optimizer]()
    loss = functional.mse_loss(apply(x), y)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        return loss.item(), apply(points).numpy()
