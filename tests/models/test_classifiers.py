"""Contracts of every registered classifier; outputs and gradients against PyTorch; sizes."""

import itertools
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from slow_cases import slow_but

from pvr_jax import models
from pvr_jax.models.convolutional import Convolution, channels_per_group
from pvr_jax.models.images import PatchEmbedding

TRANSFORMER = {"width": 16, "depth": 2, "heads": 2, "head_width": 8, "feed_forward_width": 24}
MIXER = {"width": 16, "depth": 2, "token_expansion": 2, "channel_width": 8}
# Every registered classifier, small enough to compile in no time.
SMALL = {
    "token_mlp": {"embedding_width": 6, "widths": (32, 16)},
    "token_transformer": TRANSFORMER,
    "token_mixer": MIXER,
    "picture_mlp": {"widths": (32, 16)},
    "resnet": {"widths": (8, 32), "blocks": 2, "stem_size": 5},
    "vgg": {"widths": (8, 32), "convolutions": (2, 1), "head_widths": (16,)},
    "vit": {"patch": 6, **TRANSFORMER},
    "picture_mixer": {"patch": 6, **MIXER},
}
TOKENS = tuple(name for name in SMALL if name.startswith("token"))
IMAGE_CLASSIFIERS = tuple(name for name in SMALL if name not in TOKENS)
# (shape, alphabet, classes) of the networks that are computed: token PVR, and three images in a
# row; and of those whose shapes alone are asked for.
TOKEN_TASK, IMAGE_TASK = ((11,), 10, 10), ((12, 36), None, 3)
OTHER_TOKENS = (((5,), 7, 2), ((101,), 2, 100))
OTHER_IMAGES = (((24, 24), None, 10), ((12, 132), None, 10))
# These take seconds to compile; `test_programs.py` of the experiments traces them by default.
SLOW = tuple(name for name in SMALL if not name.endswith("mlp"))
every_classifier = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in SMALL]
)
# Parameters that the outputs do not depend on, in exact arithmetic: what a Mixer adds to all
# channels of a token alike is taken out by every layer normalization.
INVISIBLE = "['layers']['token_out']['bias']"


def inputs(shape, alphabet, count=7, seed=0):
    generator = np.random.default_rng(seed)
    if alphabet is None:
        return jnp.asarray(generator.random((count, *shape)), jnp.float32)
    return jnp.asarray(generator.integers(0, alphabet, (count, *shape)), jnp.int32)


def labels(classes, count=7):
    return jnp.arange(count) % classes


def moved(params, seed=0):
    """Return the parameters plus noise: nothing then starts at 0 or 1."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: leaf + jnp.asarray(0.1 * generator.standard_normal(leaf.shape), leaf.dtype),
        params,
    )


@cache
def small(name):
    """Return (model, inputs, logits and gradients as one compiled function, parameters)."""
    shape, alphabet, classes = TOKEN_TASK if name in TOKENS else IMAGE_TASK
    model = models.build_classifier(name, shape, alphabet, classes, **SMALL[name])
    x = inputs(shape, alphabet)

    def loss(params):
        logits = model.apply(params, x)
        rows = jnp.arange(len(x)), labels(classes)
        return -jnp.mean(jax.nn.log_softmax(logits)[rows]), logits

    def compute(params):
        (_, logits), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        return logits, gradients

    model = model._replace(init=jax.jit(model.init))
    return model, x, jax.jit(compute), moved(model.init(jax.random.key(0), x[:1]))


def shapes(name, shape, alphabet, classes, **parameters):
    """Return (shapes of the parameters, shape of the logits of two inputs); nothing is computed."""
    model = models.build_classifier(name, shape, alphabet, classes, **parameters)
    x = jax.ShapeDtypeStruct((2, *shape), jnp.float32 if alphabet is None else jnp.int32)
    params = jax.eval_shape(model.init, jax.random.key(0), x)
    return params, jax.eval_shape(model.apply, params, x)


def test_every_registered_classifier_is_tested():
    assert set(SMALL) == set(models.classifier_names())
    assert not set(models.classifier_names()) & set(models.names())


@every_classifier
def test_shapes_and_dtypes(name):
    _, x, compute, params = small(name)
    logits, _ = compute(params)
    assert logits.shape == (len(x), 10 if name in TOKENS else 3) and logits.dtype == jnp.float32
    assert np.all(np.ptp(logits, axis=0) > 1e-4)  # every logit depends on the input
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    "name, shape, alphabet, classes",
    [
        *((name, *task) for name in TOKENS for task in OTHER_TOKENS),
        *((name, *task) for name in IMAGE_CLASSIFIERS for task in OTHER_IMAGES),
    ],
)
def test_other_inputs_and_numbers_of_classes(name, shape, alphabet, classes):
    logits = shapes(name, shape, alphabet, classes, **SMALL[name])[1]
    assert logits.shape == (2, classes) and logits.dtype == jnp.float32


@every_classifier
def test_gradients_are_finite_and_reach_every_parameter(name):
    _, _, compute, params = small(name)
    for path, leaf in jax.tree_util.tree_leaves_with_path(compute(params)[1]):
        largest = float(jnp.abs(leaf).max())
        assert np.isfinite(largest), path
        if name.endswith("mixer") and jax.tree_util.keystr(path) == INVISIBLE:
            assert largest < 1e-6, path
        else:
            assert largest > 1e-5, path


@every_classifier
def test_replicas_together_and_compiled_are_the_loop_without(name):
    model, x, _, params = small(name)
    alone = [params, moved(params, seed=1)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone)
    logits = jax.jit(jax.vmap(model.apply, in_axes=(0, None)))(together, x)
    for index, one in enumerate(alone):
        np.testing.assert_allclose(logits[index], model.apply(one, x), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["token_transformer", "vgg"])
def test_a_replicas_start_depends_on_its_key_alone(name):
    model, x, _, _ = small(name)
    keys = jax.random.split(jax.random.key(1), 2)
    drawn = jax.jit(jax.vmap(model.init, in_axes=(0, None)))(keys, x[:1])
    for index, key in enumerate(keys):
        for leaf, other in zip(
            jax.tree.leaves(drawn), jax.tree.leaves(model.init(key, x[:1])), strict=True
        ):
            np.testing.assert_allclose(leaf[index], other, rtol=1e-6)
            assert np.ptp(other) == 0 or not np.array_equal(leaf[1 - index], other)


@every_classifier
def test_logits_and_gradients_equal_pytorchs(name):
    pytest.importorskip("torch", reason="torch is not installed (extra: torch)")
    import pytorch_classifiers

    _, x, compute, params = small(name)
    logits, gradients = compute(params)
    tree, y = jax.tree.map(np.asarray, params), np.asarray(labels(logits.shape[1]))
    expected, expected_gradients = pytorch_classifiers.logits_and_gradients(
        name, tree, np.asarray(x), y, **SMALL[name]
    )
    np.testing.assert_allclose(logits, expected, atol=1e-5 * max(1, np.abs(expected).max()))
    for leaf, other in zip(jax.tree.leaves(gradients), expected_gradients, strict=True):
        np.testing.assert_allclose(leaf, other, atol=2e-5 * max(1, np.abs(other).max()))


@pytest.mark.parametrize("name", SMALL)
def test_parameters_are_drawn_in_single_precision_in_both_types_of_training(name):
    # A draw in float64 takes other bits of the key: another network for the same seed.
    shape, alphabet, classes = TOKEN_TASK if name in TOKENS else IMAGE_TASK
    with jax.enable_x64(True):
        params, _ = shapes(name, shape, alphabet, classes, **SMALL[name])
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["token_mlp", pytest.param("vgg", marks=pytest.mark.slow)])
def test_parameters_in_double_precision_give_logits_in_double_precision(name):
    model, x, compute, params = small(name)
    with jax.enable_x64(True):
        doubled = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), params)
        logits = jax.jit(model.apply)(doubled, x)
        assert logits.dtype == jnp.float64
    np.testing.assert_allclose(logits, compute(params)[0], atol=1e-4)


def dense(fan_in, fan_out):
    return (fan_in + 1) * fan_out


def mlp_count(*widths):
    return sum(dense(*pair) for pair in itertools.pairwise(widths))


def transformer_count(embedding, tokens, classes, width=256, depth=12, inner=6 * 64, hidden=256):
    attention = width * 3 * inner + dense(inner, width)
    layer = attention + mlp_count(width, hidden, width) + 2 * 2 * width
    positions = (tokens + 1) * width + width
    return embedding + positions + depth * layer + 2 * width + dense(width, classes)


def mixer_count(embedding, tokens, classes, width=256, depth=12, hidden=128):
    layer = mlp_count(tokens, 4 * tokens, tokens) + mlp_count(width, hidden, width) + 2 * 2 * width
    return embedding + depth * layer + 2 * width + dense(width, classes)


def convolution_count(channels, features, size=3):
    return size * size * channels * features + 2 * features


def resnet18_count(classes):
    """He et al. 2016, the table of 18 layers, for one channel."""
    count = convolution_count(1, 64, 7) + 4 * convolution_count(64, 64)
    for width in (128, 256, 512):
        count += convolution_count(width // 2, width) + 3 * convolution_count(width, width)
        count += convolution_count(width // 2, width, 1)
    return count + dense(512, classes)


def vgg11_count(pixels, classes):
    """Simonyan & Zisserman 2015, column A, for one channel; 5 poolings leave so many pixels."""
    channels = (1, 64, 128, 256, 256, 512, 512, 512, 512)
    features = sum(convolution_count(*pair) for pair in itertools.pairwise(channels))
    return features + mlp_count(pixels * 512, 4096, 4096, classes)


@pytest.mark.parametrize(
    "name, shape, alphabet, classes, count",
    [
        ("token_mlp", (11,), 10, 10, 10 * 64 + mlp_count(11 * 64, 512, 1024, 512, 64, 10)),
        ("token_mlp", (11,), 10, 10, 1_445_194),
        ("token_mlp", (101,), 5, 100, 5 * 64 + mlp_count(101 * 64, 512, 1024, 512, 64, 100)),
        ("token_transformer", (11,), 10, 10, transformer_count(10 * 256, 11, 10)),
        ("token_transformer", (101,), 100, 7, transformer_count(100 * 256, 101, 7)),
        ("token_mixer", (11,), 10, 10, mixer_count(10 * 256, 11, 10)),
        ("picture_mlp", (40, 440), None, 10, mlp_count(40 * 440, 512, 1024, 512, 64, 10)),
        ("resnet", (80, 80), None, 10, resnet18_count(10)),
        # torchvision's resnet18 has 11,689,512, with three channels and 1,000 classes.
        ("resnet", (80, 80), None, 1000, 11_689_512 - 2 * 64 * 49),
        ("resnet", (12, 132), None, 10, resnet18_count(10)),
        ("vgg", (80, 80), None, 10, vgg11_count(2 * 2, 10)),
        ("vgg", (40, 440), None, 10, vgg11_count(1 * 13, 10)),
        # torchvision's vgg11_bn has 132,868,840; its convolutions have biases, 2,752 of them.
        ("vgg", (224, 224), None, 1000, 132_868_840 - 2 * 64 * 9 - 2752),
        ("vit", (80, 80), None, 10, transformer_count(dense(64, 256), 100, 10)),
        ("picture_mixer", (80, 80), None, 10, mixer_count(dense(64, 256), 100, 10)),
    ],
)
def test_parameter_counts_by_default(name, shape, alphabet, classes, count):
    assert models.parameter_count(shapes(name, shape, alphabet, classes)[0]) == count


@pytest.mark.parametrize("shape", [(80, 80), (40, 440), (17, 23)])
@pytest.mark.parametrize("name", ["resnet", "vgg", "picture_mlp"])
def test_networks_without_patches_take_any_image(name, shape):
    parameters = {"widths": (8, 8, 8), "convolutions": (1, 1, 1)} if name == "vgg" else {}
    params, logits = shapes(name, shape, None, 10, **parameters)
    assert logits.shape == (2, 10)
    assert all(all(leaf.shape) for leaf in jax.tree.leaves(params))  # nothing has shrunk to 0


def test_groups_have_16_channels_or_the_next_number_that_divides_them():
    groups = {64: 16, 16: 16, 8: 8, 17: 17, 24: 24, 40: 20, 50: 25, 56: 28, 72: 18, 100: 20}
    assert {channels: channels_per_group(channels) for channels in groups} == groups


@pytest.mark.parametrize(("channels", "group"), slow_but([(50, 25)], [(8, 8), (50, 25)]))
def test_channels_are_normalized_in_their_groups(channels, group):
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    convolution = Convolution(channels, 1)
    params = convolution.init(jax.random.key(0), x)
    hidden = np.asarray(x @ params["params"]["kernel"][0, 0], np.float64)
    parts = hidden.reshape(2, 4, 4, channels // group, group)
    mean = parts.mean(axis=(1, 2, 4), keepdims=True)
    scaled = (parts - mean) / np.sqrt(parts.var(axis=(1, 2, 4), keepdims=True) + 1e-5)
    np.testing.assert_allclose(
        convolution.apply(params, x), scaled.reshape(hidden.shape), atol=1e-4
    )


def test_a_patch_is_a_square_of_the_image_in_reading_order():
    x = inputs((12, 24), None)
    embedding = PatchEmbedding(6, 16)
    params = embedding.init(jax.random.key(0), x)["params"]
    tokens, layer = embedding.apply({"params": params}, x), params["projection"]
    square = x[:, 6:12, 18:24].reshape(len(x), 36)  # the second row's last of four
    np.testing.assert_allclose(tokens[7], square @ layer["kernel"] + layer["bias"][None], atol=1e-5)


def uniform(fan_in):
    return scipy.stats.uniform(-(fan_in**-0.5), 2 * fan_in**-0.5)


def normal(scale=1.0):
    return scipy.stats.norm(scale=scale)


@pytest.mark.parametrize(
    "name, path, distribution",
    [
        ("token_mlp", "embedding.rows", normal()),
        ("token_mlp", "mlp.Dense_0.kernel", uniform(11 * 64)),
        ("token_mlp", "mlp.Dense_4.bias", uniform(64)),
        ("token_transformer", "embedding.rows", normal()),
        ("token_mixer", "head.kernel", uniform(256)),
        ("picture_mlp", "mlp.Dense_0.kernel", uniform(24 * 24)),
        *slow_but(
            [],
            [
                ("resnet", "stem.kernel", normal((2 / (49 * 64)) ** 0.5)),
                ("resnet", "stage1_block0.first.kernel", normal((2 / (9 * 128)) ** 0.5)),
                ("vgg", "stage1_convolution0.kernel", normal((2 / (9 * 32)) ** 0.5)),
            ],
        ),
        ("resnet", "stage1_block0.shortcut.kernel", normal((2 / 128) ** 0.5)),
        ("vgg", "dense0.bias", uniform(6 * 6 * 32)),
        ("vit", "embedding.projection.kernel", uniform(64)),
        ("picture_mixer", "embedding.projection.bias", uniform(64)),
    ],
)
def test_parameters_start_from_their_distribution(name, path, distribution):
    shape, alphabet = ((11,), 10) if name in TOKENS else ((24, 24), None)
    sizes = {"depth": 1} if "depth" in models.classifier_parameters(name) else {}
    sizes |= {"resnet": {"widths": (64, 128), "blocks": 1}}.get(name, {})
    sizes |= {"vgg": {"widths": (16, 32), "convolutions": (1, 1)}}.get(name, {})
    model = models.build_classifier(name, shape, alphabet, 10, **sizes)

    def draw(key):
        values = model.init(key, inputs(shape, alphabet, 1))
        for part in path.split("."):
            values = values[part]
        return values.ravel()[:4000]

    values = np.ravel(jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 2)))
    assert np.abs(values).max() <= distribution.support()[1]
    assert scipy.stats.kstest(values, distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    "name, shape, alphabet, parameters, message",
    [
        ("resnet", (11,), 10, {}, "name: given 'resnet'; allowed with tokens: token_mixer, token_"),
        ("token_mlp", (24, 24), None, {}, "name: given 'token_mlp'; allowed with images: pictu"),
        ("mlp", (11,), 10, {}, "name: given 'mlp'; allowed with tokens: token_mixer, token_mlp"),
        ("vit", (24,), None, {}, "shape: given (24,); allowed (height, width) with images"),
        ("token_mlp", (24, 24), 10, {}, "shape: given (24, 24); allowed (tokens,) with tokens"),
        ("token_mlp", (0,), 10, {}, "shape: given (0,); allowed whole numbers of at least 1"),
        ("token_mlp", (11,), 0, {}, "alphabet: given 0; allowed whole numbers of at least 1"),
        ("token_mlp", (11,), 10, {"width": 3}, "width: given 3; allowed parameters of token_mlp a"),
        ("token_mlp", (11,), 10, {"widths": (3, 0)}, "widths: given (3, 0); allowed whole numbers"),
        ("token_mlp", (11,), 10, {"embedding_width": 0}, "embedding_width: given 0; allowed whole"),
        ("token_transformer", (11,), 10, {"heads": 0}, "heads: given 0; allowed whole numbers"),
        ("token_mixer", (11,), 10, {"width": "wide"}, "width: given 'wide'; allowed whole numbers"),
        ("picture_mlp", (24, 24), None, {"widths": 3}, "widths: given 3; allowed whole numbers"),
        (
            "vit",
            (12, 132),
            None,
            {},
            "patch: given 8; allowed 1, 2, 3, 4, 6, 12 for images of",
        ),
        ("vit", (24, 24), None, {"patch": 6.0}, "patch: given 6.0; allowed 1, 2, 3, 4, 6, 8, 12,"),
        ("picture_mixer", (24, 24), None, {"patch": 5}, "patch: given 5; allowed 1, 2, 3, 4, 6, 8"),
        ("resnet", (24, 24), None, {"widths": ()}, "widths: given (); allowed one or more"),
        ("resnet", (24, 24), None, {"blocks": 0}, "blocks: given 0; allowed whole numbers"),
        ("resnet", (24, 24), None, {"stem_size": 4}, "stem_size: given 4; allowed odd numbers"),
        ("resnet", (24, 24), None, {"stem_pool": 1}, "stem_pool: given 1; allowed True, False"),
        ("resnet", (2, 99), None, {}, "stem_pool: given True; allowed False where the stem's stri"),
        ("vgg", (24, 24), None, {}, "widths: given (64, 128, 256, 512, 512); allowed 1 to 4 of th"),
        ("vgg", (80, 80), None, {"widths": (8, 8)}, "convolutions: given (1, 1, 2, 2, 2); allowed"),
    ],
)
def test_bad_choices_are_named(name, shape, alphabet, parameters, message):
    with pytest.raises(ValueError) as raised:
        models.build_classifier(name, shape, alphabet, 10, **parameters)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("classes", [0, 2.0, None])
def test_classes_are_a_whole_number(classes):
    with pytest.raises(ValueError, match=r"^classes: given .*; allowed whole numbers of at least"):
        models.build_classifier("token_mlp", (11,), 10, classes)


@pytest.mark.parametrize("name", sorted(TOKENS))
@pytest.mark.parametrize("token", [10, 11, -1])
def test_tokens_outside_the_alphabet_are_refused(name, token):
    model, x, _, params = small(name)
    assert TOKEN_TASK[1] == 10
    wrong = np.array(x)
    wrong[-1, -1] = token
    message = rf"^x: given {token}; allowed whole numbers, tokens from 0 to 9$"
    for given in (wrong, jnp.asarray(wrong)):
        with pytest.raises(ValueError, match=message):
            model.apply(params, given)
    fresh = models.build_classifier(name, *TOKEN_TASK, **SMALL[name])
    with pytest.raises(ValueError, match=message):
        fresh.init(jax.random.key(0), wrong)
    for other in (np.float32, bool):
        with pytest.raises(ValueError, match=rf"^x: given {np.dtype(other)}; allowed whole numb"):
            jax.jit(model.apply)(params, np.asarray(x).astype(other))


def test_labels_name_what_was_chosen():
    assert models.label({"name": "resnet"}) == "resnet"
    assert models.label({"name": "resnet", "blocks": 2}) == "resnet"
    assert models.label({"name": "vit", "patch": 4}) == "vit (patch=4)"
    with pytest.raises(ValueError, match=r"^name: given 'resnot'; .*\(did you mean 'resnet'\?\)$"):
        models.label({"name": "resnot"})
