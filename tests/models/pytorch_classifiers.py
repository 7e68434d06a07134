"""Every classifier once more, in PyTorch and in float64, from the same trees of parameters.

Written with PyTorch's own convolutions, poolings, normalizations and attention, as functions of
(params, x, **parameters) -> logits [b, classes]; they share nothing with `pvr_jax.models` but the
trees. Importing this needs PyTorch; tests skip, and say so, where it is not.
"""

import torch
from pytorch_references import dense, leaves, to_tensors
from torch.nn import functional

CHANNELS_PER_GROUP = 16


def layer_norm(params, x):
    return functional.layer_norm(x, x.shape[-1:], params["scale"], params["bias"], eps=1e-5)


def mlp(params, x):
    """Dense layers with ReLU between them, by their numbers."""
    for index in range(len(params)):
        x = dense(params[f"Dense_{index}"], torch.relu(x) if index else x)
    return x


def embedded(params, x):
    """The vectors [b, n, width] of tokens [b, n]."""
    return functional.embedding(x, params["rows"])


def patches(params, x, patch):
    """The vectors [b, n, width] of the patches of images [b, h, w], by a strided convolution."""
    kernel = params["projection"]["kernel"].T.unflatten(1, (1, patch, patch))
    found = functional.conv2d(x[:, None], kernel, params["projection"]["bias"], stride=patch)
    return found.flatten(2).transpose(1, 2)


def transformer(params, tokens, heads, depth, **_):
    start = params["start_token"].expand(len(tokens), 1, -1)
    x = torch.cat([start, tokens], dim=1) + params["positions"]
    for index in range(depth):
        layer = at(params["layers"], index)
        normed = layer_norm(layer["attention_norm"], x)
        queries, keys, values = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in dense(layer["attention"]["queries_keys_values"], normed).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        x = x + dense(layer["attention"]["output"], mixed.transpose(1, 2).flatten(2))
        hidden = dense(layer["feed_forward_in"], layer_norm(layer["feed_forward_norm"], x))
        x = x + dense(layer["feed_forward_out"], functional.gelu(hidden))
    return dense(params["head"], layer_norm(params["head_norm"], x[:, 0]))


def mixer(params, tokens, depth, **_):
    x = tokens
    for index in range(depth):
        layer = at(params["layers"], index)
        hidden = dense(layer["token_in"], layer_norm(layer["token_norm"], x).transpose(1, 2))
        x = x + dense(layer["token_out"], functional.gelu(hidden)).transpose(1, 2)
        hidden = dense(layer["channel_in"], layer_norm(layer["channel_norm"], x))
        x = x + dense(layer["channel_out"], functional.gelu(hidden))
    return dense(params["head"], layer_norm(params["head_norm"], x).mean(1))


def _groups(channels):
    """The most groups of equally many channels, none smaller than 16; one where there are fewer."""
    counts = [count for count in range(1, channels + 1) if channels % count == 0]
    return max(count for count in counts if count == 1 or channels >= CHANNELS_PER_GROUP * count)


def convolution(params, x, stride=1):
    """A convolution of x [b, c, h, w] and group normalization."""
    kernel = params["kernel"].permute(3, 2, 0, 1)
    hidden = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
    groups = _groups(len(kernel))
    return functional.group_norm(
        hidden, groups, params["norm"]["scale"], params["norm"]["bias"], eps=1e-5
    )


def resnet(params, x, widths, blocks, stem_stride=2, stem_pool=True, **_):
    x = torch.relu(convolution(params["stem"], x[:, None], stem_stride))
    x = functional.max_pool2d(x, 2) if stem_pool else x
    for stage in range(len(widths)):
        for block in range(blocks):
            layer = params[f"stage{stage}_block{block}"]
            stride = 2 if stage > 0 and block == 0 else 1
            hidden = torch.relu(convolution(layer["first"], x, stride))
            hidden = convolution(layer["second"], hidden)
            if "shortcut" in layer:
                x = convolution(layer["shortcut"], x, stride)
            x = torch.relu(x + hidden)
    return dense(params["head"], functional.adaptive_avg_pool2d(x, 1).flatten(1))


def vgg(params, x, convolutions, head_widths, **_):
    x = x[:, None]
    for stage, count in enumerate(convolutions):
        for number in range(count):
            x = torch.relu(convolution(params[f"stage{stage}_convolution{number}"], x))
        x = functional.max_pool2d(x, 2)
    x = x.permute(0, 2, 3, 1).flatten(1)
    for number in range(len(head_widths)):
        x = torch.relu(dense(params[f"dense{number}"], x))
    return dense(params["head"], x)


FORMULAS = {
    "token_mlp": lambda p, x, **_: mlp(p["mlp"], embedded(p["embedding"], x).flatten(1)),
    "token_transformer": lambda p, x, **sizes: transformer(p, embedded(p["embedding"], x), **sizes),
    "token_mixer": lambda p, x, **sizes: mixer(p, embedded(p["embedding"], x), **sizes),
    "picture_mlp": lambda p, x, **_: mlp(p["mlp"], x.flatten(1)),
    "resnet": resnet,
    "vgg": vgg,
    "vit": lambda p, x, patch, **sizes: transformer(p, patches(p["embedding"], x, patch), **sizes),
    "picture_mixer": lambda p, x, patch, **sizes: mixer(
        p, patches(p["embedding"], x, patch), **sizes
    ),
}


def at(tree, index):
    """One layer of a stack of layers."""
    if isinstance(tree, dict):
        return {name: at(leaf, index) for name, leaf in tree.items()}
    return tree[index]


def logits_and_gradients(name, params, x, y, **parameters):
    """Return the logits [b, classes] and the gradients of the mean cross-entropy, leaf by leaf."""
    tensors = to_tensors(params)
    x = torch.tensor(x)
    x = x.long() if name.startswith("token") else x.double()
    logits = FORMULAS[name](tensors, x, **parameters)
    functional.cross_entropy(logits, torch.tensor(y).long()).backward()
    return logits.detach().numpy(), [leaf.grad.numpy() for leaf in leaves(tensors)]
