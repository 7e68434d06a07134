"""Rows of a batch shared out over devices: the same steps, and collectives between those alone."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from pvr_jax.training.ensemble import share_of
from pvr_jax.training.replicas import AXIS, BATCH_AXIS, device_mesh, to_host

SEEDS, BITS = (0, 1, 2), (0, 1, 2)


def trained(built, steps=20):
    state = built.advance(built.start(), 0, steps)
    return to_host((state.params, state.loss_sum), built.count)


@pytest.mark.slow
def test_padding_repeats_a_row_so_that_any_loss_is_finite_there():
    batch = {"x": jnp.array([[1.0], [2.0], [3.0]]), "y": jnp.array([1.0, -1.0, 5.0])}
    batch["weight"] = jnp.ones(3)
    mesh = device_mesh(jax.devices()[:2], batch_devices=2)
    cut = jax.shard_map(
        lambda rows: share_of(rows, 2), mesh=mesh, in_specs=P(), out_specs=P(BATCH_AXIS)
    )
    found = cut(batch)
    np.testing.assert_array_equal(found["x"], [[1], [2], [3], [3]])
    np.testing.assert_array_equal(found["y"], [1, -1, 5, 5])
    np.testing.assert_array_equal(found["weight"], [1, 1, 1, 0])


# The suite's batches have 8 rows, the last one of an epoch 4: 3 devices leave a share of one row
# and padding, 4 devices one share without any row of weight 1.
@pytest.mark.slow
@pytest.mark.parametrize("devices, batch_devices", [(2, 2), (3, 3), (4, 4), (4, 2)])
@pytest.mark.parametrize("execution", ["vmap", "map"])
def test_shared_batches_take_the_same_steps(build, devices, batch_devices, execution):
    alone = trained(build(SEEDS, BITS, execution=execution))
    shared = build(SEEDS, BITS, devices=devices, batch_devices=batch_devices, execution=execution)
    assert shared.mesh.shape == {AXIS: devices // batch_devices, BATCH_AXIS: batch_devices}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), trained(shared), alone)


@pytest.mark.slow
def test_replicas_never_wait_for_each_other(build):
    built = build(SEEDS, BITS, devices=4, batch_devices=2)
    state = built.start()
    text = built.advance_program.lower(state, built.replicas, 0, 5).compile().as_text()
    groups = set(re.findall(r"all-reduce[^\n]*replica_groups=([^\n]*?), ", text))
    assert groups, "sharing a batch needs a sum over its devices"
    # Devices 0 and 1 share the batches of one group of replicas, 2 and 3 those of the other.
    # Written out, as ranges of an iota, or, by jax 0.12, as an axis of the mesh.
    known = ("{{0,1},{2,3}}", "[2,2]<=[4]", "{'batch'}")
    written = {re.sub(r"\s", "", group) for group in groups}
    assert all(group.endswith(known) for group in written), written


@pytest.mark.slow
def test_all_devices_of_a_batch_end_with_the_same_parameters(build):
    built = build((0,), (1,), devices=2, batch_devices=2)
    state = built.advance(built.start(), 0, 20)
    for leaf in jax.tree.leaves(state.params):
        first, second = (jnp.asarray(shard.data) for shard in leaf.addressable_shards)
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
