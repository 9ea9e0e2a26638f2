"""The means over the logits of a step."""

import dataclasses

import numpy as np
import pytest
from helpers import logits_and_labels, number, value_and_grad
from keras import ops

from keras_dts.logits import (
    LogitPair,
    WeightedMean,
    WholeBatch,
    added,
    averaged,
    means,
)

FIRST = logits_and_labels((4, 3), seed=1)
SECOND = logits_and_labels((4, 2, 5), seed=2)
TOKENS = np.array([[1.0, 0.0], [2.0, 3.0], [0.0, 0.0], [0.5, 1.0]], "float32")


def pair_of(data, output, weights=None, student=None):
    teacher, ours, labels, _ = data
    student = ours if student is None else student
    tensors = [ops.convert_to_tensor(x) for x in (teacher, student, labels)]
    weights = None if weights is None else ops.convert_to_tensor(weights)
    return LogitPair(*tensors, weights, output)


def two(first=None, second=None):
    return WholeBatch(
        [
            pair_of(FIRST, 0, student=first),
            pair_of(SECOND, 2, TOKENS, student=second),
        ]
    )


def reduced(batch, losses, temperature=None):
    """Returns the losses of a batch, and the mean temperature."""
    groups, warmth = batch.parts(losses, temperature)
    *losses, warmth = means([*groups, warmth])
    return [added(x) for x in losses], averaged(warmth)


def largest(pair):
    return ops.max(pair.student, axis=-1)


def smallest(pair):
    return ops.min(pair.student, axis=-1)


def test_means_are_the_means_of_the_outputs_means():
    counted = SECOND[1].max(axis=-1)[TOKENS > 0]
    expected = (np.mean(FIRST[1].max(axis=-1)) + np.mean(counted)) / 2
    five = ops.convert_to_tensor(5.0)
    found, scalar = two().means(largest, lambda pair: five)
    assert number(found) == pytest.approx(expected, rel=1e-6)
    assert number(scalar) == 5.0


def test_a_mean_where_no_entry_counts_is_0():
    batch = WholeBatch([pair_of(SECOND, 0, 0 * TOKENS)])
    assert [number(x) for x in batch.means(largest)] == [0.0]
    (loss,), warmth = reduced(
        batch, [WeightedMean(largest, (0,))], WeightedMean(largest, (0,))
    )
    assert (number(loss), number(warmth)) == (0.0, 0.0)


def test_losses_are_summed_over_the_outputs_that_they_read():
    batch = two()
    first = np.mean(FIRST[1].max(axis=-1))
    second = np.sum(TOKENS * SECOND[1].max(axis=-1)) / np.sum(TOKENS > 0)
    losses, temperature = reduced(
        batch,
        [
            WeightedMean(largest, (0, 2)),
            WeightedMean(largest, (2,)),
            WeightedMean(smallest, (0,)),
        ],
        WeightedMean(largest, (2,)),
    )
    assert [number(x) for x in losses] == pytest.approx(
        [first + second, second, np.mean(FIRST[1].min(axis=-1))], rel=1e-6
    )
    # The temperature is a plain mean over the entries that count.
    counted = SECOND[1].max(axis=-1)[TOKENS > 0]
    assert number(temperature) == pytest.approx(np.mean(counted), rel=1e-6)
    assert batch.parts([WeightedMean(largest, (0,))], None)[1] == []


def test_the_gradient_flows_through_losses_alone():
    def loss(student):
        batch = two(second=student)
        (value,), _ = reduced(
            batch, [WeightedMean(lambda p: p.student[..., 1], (0, 2))]
        )
        (mean,) = batch.means(largest)
        column = batch.columns(largest)[2][0]
        return value + mean + ops.sum(column)

    _, grad = value_and_grad(loss, SECOND[1])
    expected = np.zeros_like(SECOND[1])
    expected[..., 1] = TOKENS / np.sum(TOKENS > 0)
    np.testing.assert_allclose(grad, expected, rtol=1e-6)


def test_columns_are_values_for_every_entry():
    found = two().columns(largest, smallest)
    assert sorted(found) == [0, 2]
    for output, data in ((0, FIRST), (2, SECOND)):
        values = [ops.convert_to_numpy(x) for x in found[output]]
        np.testing.assert_array_equal(values[0], data[1].max(axis=-1))
        np.testing.assert_array_equal(values[1], data[1].min(axis=-1))


def test_a_selection_has_the_chosen_outputs_alone():
    batch = two()
    assert batch.outputs == (0, 2)
    part = batch.select([2])
    assert part.outputs == (2,)
    assert part.pairs == batch.pairs[1:]
    # The same outputs are the same step, whose gap is known.
    assert batch.select((2, 0)) is batch


def test_the_gap_is_the_mean_of_the_outputs_gaps_and_computed_once(monkeypatch):
    batch = two()
    calls = []
    original = LogitPair.gap_values

    def counting(pair):
        calls.append(pair.output)
        return original(pair)

    monkeypatch.setattr(LogitPair, "gap_values", counting)
    gaps = [ops.convert_to_numpy(original(pair)) for pair in batch.pairs]
    expected = (np.mean(gaps[0]) + np.mean(gaps[1][TOKENS > 0])) / 2
    assert number(batch.gap()) == pytest.approx(expected, rel=1e-6)
    assert number(batch.gap(False)) == number(batch.gap())
    assert calls == [0, 2]
    batch.settle_gap(ops.convert_to_tensor(7.0))
    assert number(batch.gap()) == 7.0


def test_an_output_without_labels_has_no_part_in_the_gap():
    told = pair_of(FIRST, 0)
    silent = dataclasses.replace(pair_of(SECOND, 2), labels=None)
    gap = number(WholeBatch([told]).gap())
    assert gap != 0.0
    assert number(WholeBatch([told, silent]).gap()) == gap
    assert number(WholeBatch([silent]).gap()) == 0.0
