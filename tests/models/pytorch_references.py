"""The networks once more, in PyTorch, as functions of the same trees of parameters.

They share nothing with `pvr_jax.models` but the trees: kernels are [fan_in, fan_out], and the
leaves of a stack of layers have a leading axis. `REFERENCES[name](params, x, **parameters)` maps
x [b, n] to the outputs [b]. Importing this needs PyTorch; tests skip, and say so, where it is not.
"""

import math

import torch
from torch.nn import functional

NTK_BIAS_SCALE = 0.1


def to_tensors(params, requires_grad=False):
    """Return a tree of arrays as float64 tensors."""
    if isinstance(params, dict):
        return {name: to_tensors(leaf, requires_grad) for name, leaf in params.items()}
    return torch.tensor(params, dtype=torch.float64, requires_grad=requires_grad)


def leaves(tree):
    """Return the tensors of a tree, in the order of its keys."""
    if isinstance(tree, dict):
        return [leaf for name in sorted(tree) for leaf in leaves(tree[name])]
    return [tree]


def layer(tree, index):
    """Return one layer of a stack."""
    if isinstance(tree, dict):
        return {name: layer(leaf, index) for name, leaf in tree.items()}
    return tree[index]


def dense(params, x):
    return functional.linear(x, params["kernel"].T, params.get("bias"))


def layer_norm(params, x):
    return functional.layer_norm(x, x.shape[-1:], params["scale"], params["bias"])


def mlp(params, x, initialisation="pytorch", **_):
    for index in range(len(params)):
        kernel, bias = params[f"Dense_{index}"]["kernel"], params[f"Dense_{index}"]["bias"]
        fan_in, fan_out = kernel.shape
        weight_multiplier, bias_multiplier = {
            "ntk": (1 / math.sqrt(fan_in), NTK_BIAS_SCALE),
            "mup": (math.sqrt(fan_out) / math.sqrt(fan_in), math.sqrt(fan_out)),
            "mup_adam": (1 / fan_in, 1),
        }.get(initialisation, (1, 1))
        hidden = weight_multiplier * (x @ kernel) + bias_multiplier * bias
        x = torch.relu(hidden)
    return hidden[:, 0]


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


def transformer(params, x, depth, heads, **_):
    """A pre-normalised Transformer over bits, tokens [b, t, width], read off at the first token."""
    tokens = functional.embedding((x > 0).long(), params["embedding"]["rows"])
    start = params["start_token"].expand(len(x), 1, -1)
    tokens = torch.cat([start, tokens], dim=1) + params["positions"]
    for index in range(depth):
        block = layer(params["layers"], index)
        hidden = dense(
            block["attention"]["queries_keys_values"], layer_norm(block["attention_norm"], tokens)
        )
        queries, keys, values = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in hidden.chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        tokens = tokens + dense(block["attention"]["output"], mixed.transpose(1, 2).flatten(2))
        hidden = dense(block["feed_forward_in"], layer_norm(block["feed_forward_norm"], tokens))
        tokens = tokens + dense(block["feed_forward_out"], functional.gelu(hidden))
    return dense(params["head"], layer_norm(params["head_norm"], tokens[:, 0]))[:, 0]


def over_tokens(params, tokens):
    """Map the tokens [b, t, width] by a convolution of kernel size 1, as the authors do."""
    return functional.conv1d(tokens, params["kernel"].T[:, :, None], params["bias"])


def mixer(params, x, depth, **_):
    """A Mixer over bits, tokens [b, t, width], read off as the mean of the normalised tokens."""
    tokens = functional.embedding((x > 0).long(), params["embedding"]["rows"])
    for index in range(depth):
        block = layer(params["layers"], index)
        hidden = over_tokens(block["token_in"], layer_norm(block["token_norm"], tokens))
        tokens = tokens + over_tokens(block["token_out"], functional.gelu(hidden))
        hidden = dense(block["channel_in"], layer_norm(block["channel_norm"], tokens))
        tokens = tokens + dense(block["channel_out"], functional.gelu(hidden))
    return dense(params["head"], layer_norm(params["head_norm"], tokens).mean(1))[:, 0]


REFERENCES = {
    "mlp": mlp,
    "linear_regression": linear,
    "deep_linear": linear,
    "random_features": random_features,
    "mean_field": mean_field,
    "transformer": transformer,
    "mixer": mixer,
}


def outputs(name, params, x, **parameters):
    """Return the outputs [b] of a model in float64, as a NumPy array."""
    with torch.no_grad():
        x = torch.tensor(x, dtype=torch.float64)
        return REFERENCES[name](to_tensors(params), x, **parameters).numpy()


def step(name, params, batch, points, optimizer, rate, **parameters):
    """Return (loss of the batch, outputs [p] at the points after one step) in float64."""
    params = to_tensors(params, requires_grad=True)
    x, y, points = (
        torch.tensor(values, dtype=torch.float64) for values in (batch["x"], batch["y"], points)
    )
    optimizer = {
        "adam": lambda tensors: torch.optim.Adam(tensors, lr=rate),
        "sgd": lambda tensors: torch.optim.SGD(tensors, lr=rate, momentum=0.9),
    }[optimizer](leaves(params))
    loss = functional.mse_loss(REFERENCES[name](params, x, **parameters), y)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        return loss.item(), REFERENCES[name](params, points, **parameters).numpy()
