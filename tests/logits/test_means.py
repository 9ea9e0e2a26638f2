"""Means over the entries of a step, and over the replicas that share it."""

import numpy as np
import pytest
from helpers import number, two_replicas
from keras import ops

from keras_dts.backend import together
from keras_dts.logits import (
    Column,
    Sums,
    means,
    means_and_faults,
    settled,
    weighted_mean,
)

VALUES = np.array([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]], "float32")
WEIGHTS = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, 1.0]], "float32")


def test_a_weighted_mean_divides_by_the_number_that_counts():
    found = weighted_mean(*map(ops.convert_to_tensor, (VALUES, WEIGHTS)))
    assert number(found) == (1 + 1 + 32 + 32) / 4
    assert number(weighted_mean(ops.convert_to_tensor(VALUES), None)) == 10.5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_of_weight_0_count_nowhere_whatever_they_are(value):
    values = np.where(WEIGHTS == 0, value, VALUES).astype("float32")
    found = weighted_mean(*map(ops.convert_to_tensor, (values, WEIGHTS)))
    assert number(found) == (1 + 1 + 32 + 32) / 4
    nothing = weighted_mean(*map(ops.convert_to_tensor, (values, 0 * WEIGHTS)))
    assert number(nothing) == 0.0


def test_parts_keep_their_groups():
    values, weights, one = map(ops.convert_to_tensor, (VALUES, WEIGHTS, 1.0))
    groups = [
        [Column(values, weights), one],
        [],
        [Sums(6 * one, 4 * one), Column(3 * one, None)],
        [Sums(0 * one, 0 * one)],
    ]
    found = [[number(x) for x in group] for group in means(groups)]
    assert found == [[66 / 4, 1.0], [], [1.5, 3.0], [0.0]]
    assert number(settled([Column(values, weights)])[0]) == 66 / 4


def on_two_replicas(compute):
    """Runs a function of a replica's number; returns what each came to."""
    import tensorflow as tf

    strategy = two_replicas()

    def run():
        with together():
            context = tf.distribute.get_replica_context()
            return compute(context.replica_id_in_sync_group)

    found = strategy.run(tf.function(run))
    shared = [
        strategy.experimental_local_results(x) for x in tf.nest.flatten(found)
    ]
    return [
        tf.nest.pack_sequence_as(found, [x.numpy() for x in replica])
        for replica in zip(*shared, strict=True)
    ]


@pytest.mark.tensorflow
def test_replicas_share_their_means():
    def compute(replica):
        values = ops.convert_to_tensor(VALUES)[replica]
        weights = ops.convert_to_tensor(WEIGHTS)[replica]
        mine = ops.cast(replica, "float32")
        return means(
            [
                [Column(values, weights), Sums(mine + 1, 4 * mine)],
                [Column(10 * mine, None), ops.convert_to_tensor(5.0)],
            ]
        )

    for found in on_two_replicas(compute):
        assert found == [[66 / 4, 3 / 4], [5.0, 5.0]]


@pytest.mark.tensorflow
def test_a_gradient_is_that_of_the_replicas_part():
    import tensorflow as tf

    def compute(replica):
        values = ops.convert_to_tensor(VALUES)[replica]
        weights = ops.convert_to_tensor(WEIGHTS)[replica]
        with tf.GradientTape() as tape:
            tape.watch(values)
            mean = weighted_mean(values, weights)
        return tape.gradient(mean, values)

    # Their mean over two replicas is the gradient of the mean of 4 entries.
    found = np.stack(on_two_replicas(compute))
    np.testing.assert_allclose(found / 2, WEIGHTS / 4, rtol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("broken", [0, 1, None])
def test_replicas_share_their_faults(broken):
    def compute(replica):
        mine = ops.cast(replica, "float32")
        value = mine
        if broken is not None:
            value = ops.where(ops.equal(replica, broken), np.nan, mine)
        found, faults = means_and_faults(
            [[Column(value, None)]],
            lambda suspect: {"teacher": suspect, "labels": mine > 5},
        )
        return found[0][0], faults

    for mean, faults in on_two_replicas(compute):
        assert np.isnan(mean) if broken is not None else mean == 0.5
        assert faults["teacher"] == (broken is not None)
        assert not faults["labels"]
