"""What a step logs, and the metrics that compare both models."""

import keras
import numpy as np
import pytest
from helpers import logits_and_labels, number
from keras import ops

from keras_dts.distiller.logs import DistillationMetrics, StepLogs
from keras_dts.logits import LogitPair, WholeBatch
from keras_dts.metrics import TeacherAgreement

TEACHER, STUDENT, LABELS, _ = logits_and_labels((4, 3))
WEIGHTS = np.array([1.0, 0.0, 2.0, 1.0], "float32")
STEPS = np.array([[0.5, -2.0], [1.5, 4.0], [7.0, 0.25]], "float32")
EXAMPLES = np.array([32, 32, 5])


def logged(logs, steps=STEPS, examples=EXAMPLES):
    for values, size in zip(steps, examples, strict=True):
        pair = map(ops.convert_to_tensor, values)
        logs.update_state(dict(zip(("loss", "gap"), pair, strict=True)), size)
    return {name: number(value) for name, value in logs.result().items()}


@pytest.mark.parametrize("kind", [int, ops.convert_to_tensor])
def test_steps_are_weighed_by_their_examples(kind):
    logs = StepLogs(["loss", "gap"])
    found = logged(logs, examples=[kind(n) for n in EXAMPLES.astype("int32")])
    expected = np.average(STEPS, axis=0, weights=EXAMPLES)
    assert list(found) == ["loss", "gap"]
    assert list(found.values()) == pytest.approx(expected, rel=1e-6)


def test_an_epoch_begins_at_0():
    logs = StepLogs(["loss", "gap"])
    assert {k: number(v) for k, v in logs.result().items()} == {
        "loss": 0.0,
        "gap": 0.0,
    }
    logged(logs)
    logs.reset_state()
    found = logged(logs, STEPS[:1], [3])
    assert found == {"loss": 0.5, "gap": -2.0}


def test_a_name_that_a_step_does_not_log_counts_as_0():
    logs = StepLogs(["loss", "gap"])
    logs.update_state({"gap": ops.convert_to_tensor(6.0)}, 1)
    logs.update_state({"loss": ops.convert_to_tensor(3.0)}, 2)
    found = {name: number(value) for name, value in logs.result().items()}
    assert found == {"loss": 2.0, "gap": 2.0}


def test_all_means_are_in_one_variable():
    logs = StepLogs(["a", "b", "c"])
    (variable,) = logs.variables
    assert tuple(variable.shape) == (4,)


@pytest.mark.torch
def test_logs_keep_nothing_for_a_gradient():
    logs = StepLogs(["loss"])
    value = ops.convert_to_tensor(2.0).requires_grad_(True)
    logs.update_state({"loss": value * value}, 3)
    assert not logs.result()["loss"].requires_grad
    assert number(logs.result()["loss"]) == 4.0


class Apart(keras.metrics.MeanMetricWrapper):
    """The mean distance of the largest logits."""

    def __init__(self, by_rank=False):
        super().__init__(
            lambda t, s: ops.abs(ops.max(t, -1) - ops.max(s, -1)), name="apart"
        )
        if by_rank:
            self.by_rank = True


def batch(teacher=TEACHER, weights=WEIGHTS, **kwargs):
    tensors = (
        None if x is None else ops.convert_to_tensor(x)
        for x in (teacher, STUDENT, LABELS, weights)
    )
    return WholeBatch([LogitPair(*tensors, **kwargs)])


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_metrics_get_the_logits_and_the_weights(weights):
    metric = Apart()
    DistillationMetrics([metric]).update(batch(weights=weights))
    expected = np.average(
        np.abs(TEACHER.max(-1) - STUDENT.max(-1)), weights=weights
    )
    assert number(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_metrics_of_ranks_get_the_logits_for_them():
    argmax_pair = (ops.full((4, 3), 5.0), ops.full((4, 3), 2.0))
    by_rank, plain = Apart(by_rank=True), Apart()
    DistillationMetrics([by_rank, plain]).update(batch(argmax_pair=argmax_pair))
    assert number(by_rank.result()) == 3.0
    assert number(plain.result()) != 3.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_teacher_that_is_not_finite_makes_metrics_nan(value):
    # Of NaN, some class would be the most probable one.
    metric = TeacherAgreement()
    metrics = DistillationMetrics([metric])
    metrics.update(batch())
    assert np.isfinite(number(metric.result()))
    broken = TEACHER.copy()
    broken[2, 1] = value
    metrics.update(batch(broken))
    assert np.isnan(number(metric.result()))


def test_metrics_need_the_same_classes():
    with pytest.raises(ValueError, match="`apart` compares"):
        DistillationMetrics([Apart()]).update(batch(same_tokens=False))
    DistillationMetrics([]).update(batch(same_tokens=False))
