"""The networks of Abbe et al. 2022 as idiomatic PyTorch modules.

`build(name, n, **parameters)` takes the parameters of `pvr_jax.models.build`, with the same
defaults; `load` copies a tree of parameters of pvr_jax into a module, so that both compute the same
function. The tests of pvr_jax's own networks compare them with these, in float64.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

PAPER_WIDTHS = (512, 1024, 512, 64)


class MLP(nn.Module):
    """n -> widths -> 1 with ReLU between the layers."""

    def __init__(self, n: int, widths: tuple[int, ...] = PAPER_WIDTHS) -> None:
        super().__init__()
        sizes = (n, *widths, 1)
        layers = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [b, n] to [b]."""
        return self.layers(x)[:, 0]


class Attention(nn.Module):
    """Softmax attention between all tokens [b, t, width]."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.output = nn.Linear(heads * head_width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [b, t, width] to [b, t, width]."""
        queries, keys, values = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.queries_keys_values(x).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        return self.output(mixed.transpose(1, 2).flatten(2))


class TransformerLayer(nn.Module):
    """Attention and a feed-forward network, each normalized before and added to its input."""

    def __init__(self, width: int, heads: int, head_width: int, feed_forward_width: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, head_width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward_in = nn.Linear(width, feed_forward_width)
        self.feed_forward_out = nn.Linear(feed_forward_width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [b, t, width] to [b, t, width]."""
        x = x + self.attention(self.attention_norm(x))
        hidden = functional.gelu(self.feed_forward_in(self.feed_forward_norm(x)))
        return x + self.feed_forward_out(hidden)


class Transformer(nn.Module):
    """A Transformer over the bits, whose readout is on an additional first token."""

    def __init__(
        self,
        n: int,
        width: int = 256,
        depth: int = 12,
        heads: int = 6,
        head_width: int = 64,
        feed_forward_width: int = 256,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2, width)
        self.start_token = nn.Parameter(torch.randn(width))
        self.positions = nn.Parameter(torch.randn(n + 1, width))
        self.layers = nn.ModuleList(
            TransformerLayer(width, heads, head_width, feed_forward_width) for _ in range(depth)
        )
        self.head_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [b, n] in {-1, +1} to [b]."""
        tokens = self.embedding((x > 0).long())
        start = self.start_token.expand(len(x), 1, -1)
        tokens = torch.cat([start, tokens], dim=1) + self.positions
        for layer in self.layers:
            tokens = layer(tokens)
        return self.head(self.head_norm(tokens[:, 0]))[:, 0]


class MixerLayer(nn.Module):
    """Mixing of the tokens by convolutions of size 1, as the authors do, then of the channels."""

    def __init__(self, n: int, width: int, token_expansion: int, channel_width: int) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(width)
        self.token_in = nn.Conv1d(n, token_expansion * n, 1)
        self.token_out = nn.Conv1d(token_expansion * n, n, 1)
        self.channel_norm = nn.LayerNorm(width)
        self.channel_in = nn.Linear(width, channel_width)
        self.channel_out = nn.Linear(channel_width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [b, n, width] to [b, n, width]."""
        x = x + self.token_out(functional.gelu(self.token_in(self.token_norm(x))))
        return x + self.channel_out(functional.gelu(self.channel_in(self.channel_norm(x))))


class Mixer(nn.Module):
    """An MLP-Mixer over the bits, read off as the mean over the tokens."""

    def __init__(
        self,
        n: int,
        width: int = 256,
        depth: int = 12,
        token_expansion: int = 4,
        channel_width: int = 128,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2, width)
        self.layers = nn.ModuleList(
            MixerLayer(n, width, token_expansion, channel_width) for _ in range(depth)
        )
        self.head_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [b, n] in {-1, +1} to [b]."""
        tokens = self.embedding((x > 0).long())
        for layer in self.layers:
            tokens = layer(tokens)
        return self.head(self.head_norm(tokens).mean(1))[:, 0]


def build(name: str, n: int, **parameters: Any) -> nn.Module:
    """Build the module that corresponds to `pvr_jax.models.build(name, n, **parameters)`.

    Of the MLP its widths alone are used: it has the plain parametrization. Raises KeyError for
    another network than mlp, transformer and mixer.
    """
    if name == "mlp":
        return MLP(n, tuple(parameters.get("widths", PAPER_WIDTHS)))
    return {"transformer": Transformer, "mixer": Mixer}[name](n, **parameters)


def load(network: nn.Module, params: Mapping[str, Any]) -> nn.Module:
    """Copy a tree of parameters of pvr_jax into a module made by `build`; return the module."""
    with torch.no_grad():
        if isinstance(network, MLP):
            linear = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
            for index, layer in enumerate(linear):
                _fill(layer, params[f"Dense_{index}"])
        else:
            _fill(network, params)
    return network


def _fill(module: nn.Module, tree: Mapping[str, Any]) -> None:
    """Copy a tree into the parts of a module that have the names of its branches."""
    if isinstance(module, nn.Linear | nn.Conv1d):
        kernel = torch.tensor(np.array(tree["kernel"])).T
        module.weight.copy_(kernel.reshape(module.weight.shape))
        if module.bias is not None:
            module.bias.copy_(torch.tensor(np.array(tree["bias"])))
    elif isinstance(module, nn.LayerNorm):
        module.weight.copy_(torch.tensor(np.array(tree["scale"])))
        module.bias.copy_(torch.tensor(np.array(tree["bias"])))
    elif isinstance(module, nn.Embedding):
        module.weight.copy_(torch.tensor(np.array(tree["rows"])))
    elif isinstance(module, nn.ModuleList):
        for index, layer in enumerate(module):
            _fill(layer, _at(tree, index))
    else:
        for name, parameter in module.named_parameters(recurse=False):
            parameter.copy_(torch.tensor(np.array(tree[name])))
        for name, child in module.named_children():
            _fill(child, tree[name])


def _at(tree: Any, index: int) -> Any:
    """Return one layer of a stack of layers."""
    if isinstance(tree, Mapping):
        return {name: _at(leaf, index) for name, leaf in tree.items()}
    return tree[index]
