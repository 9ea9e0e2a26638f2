"""The losses on logits of a step, and the temperatures that they use."""

import numpy as np
import pytest
from helpers import logits_and_labels, number
from keras import ops

from keras_dts.distiller.softening import Softening
from keras_dts.distiller.terms.terms import LossUse
from keras_dts.logits import (
    LogitPair,
    WholeBatch,
    added,
    averaged,
    means,
)
from keras_dts.losses import KD, BatchLoss
from keras_dts.temperatures import Temperature, Temperatures

FIRST = logits_and_labels((4, 3), seed=1)
SECOND = logits_and_labels((4, 5), seed=2)
WEIGHTS = np.array([1.0, 0.0, 2.0, 1.0], "float32")


class Spy(Temperature):
    """A temperature that writes down what a step does to it."""

    def __init__(self, value=2.0):
        super().__init__()
        self.value = value
        self.seen = []

    def temperatures(self, pair):
        self.seen.append(("temperatures", pair.output))
        t = self.value * ops.ones_like(pair.student[..., 0])
        return Temperatures(t, t, t * t)

    def snapshot(self, batch):
        self.seen.append(("snapshot", batch.outputs))
        return self.temperatures

    def begin_step(self, batch):
        self.seen.append(("begin", batch.outputs))

    def end_step(self, batch):
        self.seen.append(("end", batch.outputs))

    def observe(self, loss):
        self.seen.append(("observe", number(loss)))


class Constant(BatchLoss):
    """A loss that is the same number at each entry."""

    def __init__(self, value, temperature=None):
        super().__init__(temperature)
        self.value = value

    def values(self, pair, temperatures):
        return self.value * temperatures.student


def batch():
    return WholeBatch(
        LogitPair(
            *map(ops.convert_to_tensor, (teacher, student, labels)),
            weights=None if i == 0 else ops.convert_to_tensor(WEIGHTS),
            output=i,
        )
        for i, (teacher, student, labels, _) in enumerate((FIRST, SECOND))
    )


def losses_of(softening):
    """Runs a step, and returns its losses and the mean temperature."""
    logits = batch()
    groups, warmth = softening.begin(logits)
    *values, warmth = means([*groups, warmth])
    values = [added(x) for x in values]
    softening.end(logits, values)
    return values, averaged(warmth) if warmth else None


def test_a_shared_temperature_moves_once_a_step():
    shared = Spy(3.0)
    softening = Softening(
        [LossUse(0, Constant(1.0), (0,)), LossUse(1, Constant(10.0), (0,))],
        shared,
    )
    losses, temperature = losses_of(softening)
    assert [number(x) for x in losses] == [3.0, 30.0]
    assert number(temperature) == 3.0
    # It sees only the output that losses read, and its values are computed
    # once for both losses and the logs.
    assert shared.seen == [
        ("begin", (0,)),
        ("snapshot", (0,)),
        ("temperatures", 0),
        ("end", (0,)),
        ("observe", 33.0),
    ]


def test_a_shared_temperature_sees_all_outputs_of_its_losses():
    shared = Spy()
    uses = [LossUse(0, Constant(1.0), (1,)), LossUse(1, Constant(1.0), (0,))]
    losses_of(Softening(uses, shared))
    assert [what for what in shared.seen if what[0] in ("begin", "end")] == [
        ("begin", (0, 1)),
        ("end", (0, 1)),
    ]


def test_each_temperature_observes_only_the_losses_that_used_it():
    shared, own = Spy(2.0), Spy(5.0)
    uses = [
        LossUse(0, Constant(1.0), (0,)),
        LossUse(0, Constant(100.0, own), (1,)),
        LossUse(1, Constant(10.0), (0,)),
    ]
    losses, temperature = losses_of(Softening(uses, shared))
    # The second output's weights are 4, of which 3 entries count.
    expected = [2.0, 500.0 * 4 / 3, 20.0]
    assert [number(x) for x in losses] == pytest.approx(expected)
    assert dict(shared.seen)["observe"] == 22.0
    assert dict(own.seen)["observe"] == pytest.approx(expected[1])
    # The shared temperature does not see what the other one softens.
    assert dict(shared.seen)["begin"] == (0,)
    assert dict(own.seen)["begin"] == (1,)
    # Only the shared one is logged.
    assert number(temperature) == 2.0


def test_two_losses_may_have_one_temperature_of_their_own():
    own, shared = Spy(5.0), Spy()
    uses = [
        LossUse(0, Constant(1.0, own), (0,)),
        LossUse(1, Constant(2.0, own), (0,)),
    ]
    losses, temperature = losses_of(Softening(uses, shared))
    assert [number(x) for x in losses] == [5.0, 10.0]
    assert [what for what, _ in own.seen].count("begin") == 1
    assert dict(own.seen)["observe"] == 15.0
    # Nothing uses the shared one, and it is left alone.
    assert shared.seen == []
    assert temperature is None


def test_a_loss_that_reads_two_outputs_is_their_sum():
    loss = KD(2.0)
    both = losses_of(Softening([LossUse(0, loss, (0, 1))], Spy()))[0]
    parts = [
        losses_of(Softening([LossUse(0, loss, (i,))], Spy()))[0][0]
        for i in (0, 1)
    ]
    assert number(both[0]) == pytest.approx(sum(map(number, parts)), rel=1e-6)


def test_inference_only_takes_a_snapshot():
    shared, own = Spy(2.0), Spy()
    uses = [
        LossUse(0, Constant(1.0), (1,)),
        LossUse(1, Constant(1.0, own), (0,)),
    ]
    softening = Softening(uses, shared)
    ((pair, temperatures),) = softening.shared_temperatures(batch())
    assert pair.output == 1
    np.testing.assert_array_equal(
        ops.convert_to_numpy(temperatures.student), np.full(4, 2.0)
    )
    assert shared.seen == [("snapshot", (1,)), ("temperatures", 1)]
    assert own.seen == []
    only_own = Softening(uses[1:], shared)
    assert only_own.shared_temperatures(batch()) == []
