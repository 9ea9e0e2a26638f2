"""Augmented views, which are the same for both models."""

import keras
import numpy as np
import pytest
from caches import Pages, X, Y, cached, distil, fit, net
from keras import layers, ops

import keras_dts


def shifted(x, rng):
    return x + rng.normal(size=x.shape).astype("float32")


class Seen(keras.layers.Layer):
    """Keeps what it is given, in a state that training may change."""

    def build(self, shape):
        self.kept = self.add_weight(shape=(50, 8), trainable=False)

    def call(self, x):
        if not isinstance(x, keras.KerasTensor) and x.shape[0] in (None, 50):
            self.kept.assign(ops.reshape(x, (50, 8)))
        return x


def test_student_and_teacher_get_the_same_view(tmp_path):
    teacher = net(16, 1)
    cache = cached(teacher, (X, Y), tmp_path, augment=shifted, views=3, seed=7)
    shown = []
    for epoch in range(4):
        (inputs, (outputs,), _, _), y = cache.take(np.arange(50), epoch)
        np.testing.assert_allclose(
            outputs, teacher.predict(inputs, verbose=0), atol=1e-5
        )
        np.testing.assert_array_equal(y, Y)
        shown.append(inputs)
    np.testing.assert_array_equal(shown[0], shown[3])
    assert np.all(np.abs(shown[0] - shown[1]).max(1) > 0.1)
    # Example 4's view of epoch 1 is number (1 + 4) % 3.
    rng = np.random.default_rng([7, 4, 2])
    np.testing.assert_array_equal(shown[1][4], shifted(X[4], rng))


def test_each_epoch_uses_another_view(tmp_path):
    inputs = keras.Input((8,))
    seen = Seen()
    student = keras.Model(inputs, layers.Dense(12)(seen(inputs)))
    distiller = distil(student=student)
    cache = cached(
        distiller.teacher, (X, Y), tmp_path, augment=shifted, views=2
    )
    shown = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            (kept,) = (w for w in student.get_weights() if w.shape == (50, 8))
            shown.append(np.array(kept))

    for first in (0, 1):
        fit(
            distiller,
            cache,
            batch_size=50,
            epochs=first + 2,
            initial_epoch=first,
            callbacks=[Spy()],
        )
    expected = [cache.take(np.arange(50), e)[0].inputs for e in (0, 1, 1, 2)]
    for one, other in zip(shown, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_cache_stores_views_of_batches(tmp_path):
    teacher = net(16, 1)
    cached(teacher, Pages(), tmp_path, augment=shifted, views=2)
    cache = keras_dts.TeacherCache(tmp_path)
    for epoch in range(2):
        inputs, (outputs,), _, _ = cache.take(np.arange(50), epoch)[0]
        np.testing.assert_allclose(
            outputs, teacher.predict(inputs, verbose=0), atol=1e-5
        )
        assert np.abs(inputs - X).max() > 0.1


def test_views_must_be_reproducible(tmp_path):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="from its second argument alone"):
        cached(
            net(16, 1), (X, Y), tmp_path, augment=lambda x, _: x + rng.random()
        )


def test_another_augmentation_is_refused(tmp_path):
    teacher = net(16, 1)
    cached(teacher, (X, Y), tmp_path, augment=shifted, views=2)
    with pytest.raises(ValueError, match="other inputs, or views"):
        cached(
            teacher,
            (X, Y),
            tmp_path,
            augment=lambda x, rng: shifted(x, rng) * 2,
            views=2,
        )
    with pytest.raises(ValueError, match="`augment` must be the function"):
        keras_dts.TeacherCache(tmp_path, (X, Y))
