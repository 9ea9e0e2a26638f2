"""What the base class of a loss decides: whether its batch may be cut."""

import numpy as np
import pytest
from helpers import logits_and_labels, number
from keras import ops

from keras_dts import losses

TEACHER, STUDENT, LABELS, _ = logits_and_labels()

DIVERGENCES = (
    losses.KD,
    losses.ReverseKL,
    losses.GeneralizedJSD,
    losses.SkewKL,
    losses.SkewReverseKL,
    losses.TotalVariation,
    losses.DKD,
)


def values(self, pair, temperatures):
    """Compares each entry with the batch."""
    return ops.max(pair.student, axis=0)[..., 0]


@pytest.mark.parametrize("base", [losses.Divergence, *DIVERGENCES])
def test_a_divergence_with_values_is_no_class(base):
    with pytest.raises(TypeError, match="Received") as caught:
        type("Mine", (base,), {"values": values})
    assert str(caught.value) == (
        "`Mine` must implement `divergence`, or derive from "
        "`keras_dts.losses.BatchLoss` to implement `values`. Received: a "
        "`Divergence` with `values`"
    )


def test_a_divergence_sees_one_entry_at_a_time():
    for loss in DIVERGENCES:
        assert issubclass(loss, losses.Divergence)
        assert loss.per_entry
    assert not losses.BatchLoss.per_entry
    assert not issubclass(losses.BatchLoss, losses.Divergence)
    assert not losses.MLKD.per_entry


@pytest.mark.parametrize(
    "base",
    [losses.LogitDistillation, losses.BatchLoss],
)
def test_the_bases_are_abstract(base):
    with pytest.raises(TypeError, match="abstract"):
        base()


def test_a_divergence_of_ones_own_is_softened_and_scaled():
    class Gap(losses.Divergence):
        def divergence(self, teacher_log_probs, student_log_probs, labels):
            assert labels is not None
            return ops.max(teacher_log_probs - student_log_probs, axis=-1)

    found = Gap(2.0).compute_loss(TEACHER, STUDENT, LABELS)
    p, q = (
        x / 2 - np.log(np.exp(x / 2).sum(axis=-1, keepdims=True))
        for x in (TEACHER, STUDENT)
    )
    expected = 4 * np.mean(np.max(p - q, axis=-1))
    assert number(found) == pytest.approx(expected, rel=1e-5)


def test_a_subclass_may_change_the_divergence():
    class Twice(losses.KD):
        def compare(self, *args):
            return 2.0 * super().compare(*args)

    once = number(losses.KD(3.0).compute_loss(TEACHER, STUDENT))
    twice = number(Twice(3.0).compute_loss(TEACHER, STUDENT))
    assert twice == pytest.approx(2 * once, rel=1e-6)
    assert Twice.per_entry


def test_a_batch_loss_sees_the_whole_batch():
    class Batch(losses.BatchLoss):
        def values(self, pair, temperatures):
            centred = pair.student - ops.mean(pair.student, axis=0)
            return temperatures.scale * ops.max(centred, axis=-1)

    found = Batch(2.0).compute_loss(TEACHER, STUDENT)
    expected = 4 * np.mean(np.max(STUDENT - STUDENT.mean(axis=0), axis=-1))
    assert number(found) == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_compares_distributions_hides_no_divergence():
    message = "must derive from `keras_dts.losses.Divergence` itself"
    with pytest.raises(TypeError, match=message):

        class Mine(losses.KD):
            def divergence(self, teacher, student, labels):
                return 0.0 * teacher[..., 0]


def test_a_divergence_needs_a_divergence():
    class Nothing(losses.Divergence):
        pass

    with pytest.raises(TypeError, match="must implement `divergence`"):
        Nothing()
