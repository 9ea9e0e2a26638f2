"""Models, data and trainings that the tests of caches share."""

import keras
import numpy as np
from helpers import blobs, crossentropy, mlp
from scipy.special import log_softmax, logsumexp

import keras_dts
from keras_dts import metrics

X, Y = blobs(50, classes=12)
WEIGHTS = np.linspace(0.5, 2.0, 50, dtype="float32")
DATA = (X, Y, WEIGHTS)


def net(hidden, seed, **kwargs):
    return mlp(hidden, 12, seed, **kwargs)


def distil(teacher=None, student=None, loss=None, rate=0.1, **kwargs):
    teacher = net(16, 1) if teacher is None else teacher
    student = net(4, 2) if student is None else student
    keras.utils.set_random_seed(0)  # for projectors
    distiller = keras_dts.Distiller(
        teacher, student, loss, student_loss_weight=0.3, **kwargs
    )
    distiller.compile(
        keras.optimizers.SGD(rate),
        crossentropy(),
        metrics=["accuracy"],
        distillation_metrics=[metrics.TeacherKL(), metrics.TeacherAgreement()],
    )
    return distiller


def fit(distiller, *data, **kwargs):
    options = {
        "epochs": 3,
        "shuffle": False,
        "verbose": 0,
        "callbacks": [keras_dts.DTS()],
        "batch_size": 16,
    }
    return distiller.fit(*data, **(options | kwargs)).history


def same_logs(logs, others, tolerance=1e-5):
    assert set(logs) == set(others)
    for name in logs:
        np.testing.assert_allclose(
            logs[name], others[name], rtol=tolerance, atol=tolerance
        )


def cached(teacher, data, path, **kwargs):
    return keras_dts.cache_teacher(teacher, data, path, verbose=False, **kwargs)


class Pages(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        return X[rows], Y[rows], WEIGHTS[rows]


def top_k_logits(logits, classes):
    """Returns logits of some classes and of the rest, by SciPy."""
    kept = np.take_along_axis(logits, classes, -1)
    others = logits.copy()
    np.put_along_axis(others, classes, -np.inf, -1)
    rest = logsumexp(others, axis=-1, keepdims=True)
    return np.concatenate([kept, rest], axis=-1)


def top_k_kl(teacher, student, k, temperature):
    """The divergence of top_k_logits distributions, for each entry."""
    classes = np.argsort(-teacher, axis=-1)[..., :k]
    teacher, student = (
        log_softmax(top_k_logits(x, classes) / temperature, axis=-1)
        for x in (teacher, student)
    )
    return np.sum(np.exp(teacher) * (teacher - student), axis=-1)
