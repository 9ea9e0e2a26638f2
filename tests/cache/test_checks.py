"""Caches, teachers, data and arguments that do not belong together."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from caches import DATA, WEIGHTS, Pages, X, Y, cached, distil, fit, net
from helpers import tagger

import keras_dts
from keras_dts import losses


def test_another_teacher_is_refused(tmp_path):
    cache = cached(net(16, 1), (X, Y), tmp_path)
    other = net(16, 3)
    message = "`teacher` must be the model whose outputs are in the cache"
    with pytest.raises(ValueError, match=message):
        fit(distil(other), cache)
    with pytest.raises(ValueError, match=message):
        cached(other, (X, Y), tmp_path)
    with pytest.raises(ValueError, match=message):
        cache.verify(other)


def changed(row):
    x = X.copy()
    x[row] += 1
    return x


OTHER_DATA = {
    "another example": (lambda: (changed(49), Y), "other inputs"),
    "another order": (lambda: (X[::-1], Y), "other inputs"),
    "fewer": (lambda: (X[:40], Y[:40]), "40 examples, where it has 50"),
    "batches": (Pages, "batches, where it is of arrays"),
}


@pytest.mark.parametrize("case", OTHER_DATA)
def test_other_data_are_refused(tmp_path, case):
    make, message = OTHER_DATA[case]
    teacher = net(16, 1)
    cached(teacher, (X, Y), tmp_path)
    with pytest.raises(ValueError, match=message) as error:
        keras_dts.TeacherCache(tmp_path, make())
    assert "`data` must be the data of the cache" in str(error.value)


def test_other_batches_are_refused(tmp_path):
    teacher = net(16, 1)
    cached(teacher, Pages(), tmp_path)
    with pytest.raises(ValueError, match="another first batch"):
        cached(teacher, tf.data.Dataset.from_tensors((X[:9], Y[:9])), tmp_path)
    with pytest.raises(ValueError, match="arrays, where it is of batches"):
        keras_dts.TeacherCache(tmp_path, DATA)


def test_a_cache_with_other_arguments_is_refused(tmp_path):
    teacher = net(16, 1)
    cached(teacher, (X, Y), tmp_path)
    with pytest.raises(ValueError, match="made with top_k=None, not 4"):
        cached(teacher, (X, Y), tmp_path, top_k=4)
    cache = keras_dts.TeacherCache(tmp_path, (X, Y))
    loss = keras.distillation.FeatureDistillation("mse", "feat", "feat")
    distiller = distil(teacher, loss=[losses.KD(), loss])
    with pytest.raises(ValueError, match=r"without \['feat'\]"):
        fit(distiller, cache)
    distiller = distil(teacher, from_logits=True)
    with pytest.raises(ValueError, match="`from_logits` must be the same"):
        fit(distiller, cache)


def test_verify_finds_an_output_that_differs(tmp_path):
    teacher = net(16, 1)
    cache = cached(teacher, (X, Y), tmp_path)
    assert cache.verify(teacher, (X, Y)) < 1e-5
    with pytest.raises(ValueError, match="another output_0 for example"):
        cache.verify(teacher, teacher_inputs=lambda x: x + 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "`top_k` must be"),
        ({"dtype": "int8"}, "`dtype` must be one of None, 'float32'"),
        ({"views": 2}, "`augment` must be a function if"),
    ],
)
def test_arguments_are_checked(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        cached(net(16, 1), (X, Y), tmp_path, **options)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, Y[:9]), r"lengths \[9, 50\]"),
        (X[:0], r"lengths \[0\]"),
        (iter([]), "at least one batch"),
        (3, "must be arrays, or yield batches"),
    ],
)
def test_data_are_checked(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        cached(net(16, 1), data, tmp_path)


def test_examples_must_have_one_shape(tmp_path):
    batches = [np.ones((4, length), "int32") for length in (5, 6)]
    with pytest.raises(ValueError, match="must have examples of one shape"):
        cached(tagger(4, 0), iter(batches), tmp_path)


@pytest.mark.parametrize(
    "options", [{"y": Y}, {"sample_weight": WEIGHTS}, {"validation_split": 0.5}]
)
def test_labels_beside_a_cache_are_refused(tmp_path, options):
    distiller = distil()
    cache = cached(distiller.teacher, (X, Y), tmp_path)
    (name,) = options
    with pytest.raises(ValueError, match=f"`{name}` must not be given"):
        fit(distiller, cache, **options)


@pytest.mark.filterwarnings("ignore:__array__")
def test_data_that_change_warn(tmp_path):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(50).batch(16)
    with pytest.warns(UserWarning, match="change each time they are read"):
        cache = cached(net(16, 1), data, tmp_path)
    assert cache.verify(net(16, 1)) < 1e-5


@pytest.mark.parametrize(
    "method", ["train_on_batch", "test_on_batch", "predict_on_batch"]
)
def test_methods_on_batches_refuse_a_cache(tmp_path, method):
    distiller = distil()
    cache = cached(distiller.teacher, (X, Y), tmp_path)
    with pytest.raises(ValueError, match=r"`x` must be one batch.*50 examples"):
        getattr(distiller, method)(cache)
