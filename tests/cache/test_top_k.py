"""Caches of the most probable classes, and of the rest as one class."""

import keras
import numpy as np
import pytest
from caches import (
    X,
    Y,
    cached,
    distil,
    fit,
    net,
    same_logs,
    top_k_kl,
    top_k_logits,
)
from helpers import crossentropy
from keras import ops
from scipy.special import log_softmax
from text_runs import tokens
from texts import SENTENCES, gpt2

import keras_dts
from keras_dts import losses
from keras_dts.cache.quantization import dequantize, quantize


def test_the_loss_is_that_of_the_top_k_distributions(tmp_path):
    distiller = distil(rate=0.0, temperature=3.0)
    cache = cached(
        distiller.teacher, (X, Y), tmp_path, top_k=4, dtype="float32"
    )
    logs = fit(distiller, cache, callbacks=[], batch_size=50, epochs=1)
    teacher, student = (
        model.predict(X, verbose=0).astype("float64")
        for model in (distiller.teacher, distiller.student)
    )
    expected = 9.0 * np.mean(top_k_kl(teacher, student, 4, 3.0))
    assert logs["distillation_loss"][0] == pytest.approx(expected, rel=1e-5)
    expected = np.mean(top_k_kl(teacher, student, 4, 1.0))
    assert logs["teacher_kl"][0] == pytest.approx(expected, rel=1e-5)
    # Labels outside the stored classes become the rest.
    classes = np.argsort(-teacher, axis=-1)[:, :4]
    found = classes == Y[:, None]
    label = np.where(found.any(1), found.argmax(1), 4)[:, None]
    theirs, ours = (
        -np.take_along_axis(log_softmax(top_k_logits(x, classes), -1), label, 1)
        for x in (teacher, student)
    )
    assert logs["gap"][0] == pytest.approx(np.mean(ours - theirs), rel=1e-5)
    # What the models choose is told exactly.
    agree = np.mean(teacher.argmax(-1) == student.argmax(-1))
    assert logs["teacher_agreement"][0] == pytest.approx(agree)


@pytest.mark.torch
def test_language_models_store_the_top_classes_of_each_token(tmp_path):
    teacher, student = gpt2(16, seed=1), gpt2(8, seed=2)
    data = x, _, weights = tokens(student, SENTENCES)
    distiller = keras_dts.Distiller(teacher, student, temperature=2.0)
    distiller.compile(keras.optimizers.SGD(0.0), crossentropy())
    cache = cached(teacher, data, tmp_path, top_k=5)
    logs = fit(distiller, cache, callbacks=[], batch_size=2, epochs=1)
    theirs, ours = (
        ops.convert_to_numpy(model(x)) for model in (teacher, student)
    )
    values = 4.0 * top_k_kl(theirs, ours, 5, 2.0)
    halves = [np.mean(values[i][weights[i] > 0]) for i in ([0, 1], [2, 3])]
    expected = np.mean(halves)
    assert logs["distillation_loss"][0] == pytest.approx(expected, rel=2e-3)
    # 5 times 2 bytes of value and 2 of class, and 2 bytes of the rest.
    assert cache.bytes_per_example == 16 * 22


@pytest.mark.parametrize(
    "loss",
    [losses.ClassCorrelation(), losses.BatchCorrelation(), losses.MLKD()],
)
def test_losses_that_need_every_class_say_so(tmp_path, loss):
    distiller = distil(loss=loss)
    cache = cached(distiller.teacher, (X, Y), tmp_path, top_k=4)
    with pytest.raises(ValueError, match="`top_k` of the cache must be `None`"):
        fit(distiller, cache)


# Eight bits.


@pytest.mark.parametrize("top_k", [None, 4])
def test_eight_bits_are_steps_of_an_entrys_range(tmp_path, top_k):
    teacher = net(16, 1)
    cache = cached(teacher, (X, Y), tmp_path, top_k=top_k, dtype="uint8")
    (values,) = cache.take(np.arange(50))[0].outputs
    logits = teacher.predict(X, verbose=0).astype("float64")
    if top_k is not None:
        classes = np.argsort(-logits, axis=-1)[:, :top_k]
        logits = top_k_logits(log_softmax(logits, -1), classes)
    span = np.ptp(logits, axis=-1, keepdims=True)
    # Half a step, and float16's rounding of the ends.
    allowed = span / 510 + np.abs(logits).max(-1, keepdims=True) * 2**-11
    assert np.all(np.abs(values - logits) <= allowed)
    assert values.dtype == np.float32
    # A byte for each value, two ends of 2 bytes, and classes of 2 bytes.
    assert cache.bytes_per_example == (16 if top_k is None else 5 + 4 + 8)
    # Computed outputs are rounded alike before they are compared.
    assert cache.verify(teacher, (X, Y)) < 0.02
    with pytest.raises(ValueError, match="another output_0 for example"):
        cache.verify(teacher, teacher_inputs=lambda x: x + 1.0)
    if top_k is None:
        same_logs(fit(distil(teacher), cache), fit(distil(teacher), X, Y), 0.02)


def test_eight_bits_of_equal_values_are_exact():
    values = np.full((3, 5), -1.5, "float32")
    np.testing.assert_array_equal(dequantize(*quantize(values)), values)
    values = np.array([[-1e9, 0.0, -2.0]])
    low, high, other = dequantize(*quantize(values))[0]
    assert low == -np.finfo("float16").max
    assert high == pytest.approx(0.0, abs=65504 * 2**-23)
    assert abs(other + 2.0) < 130
