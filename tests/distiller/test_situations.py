"""Situations that people describe: what a step logs is what it should be.

One step of a learning rate of 0, so that what is logged is of the first
weights; the expected values are computed from the models' outputs by NumPy.
"""

import keras
import numpy as np
import pytest
from helpers import crossentropy, mlp
from keras import layers, ops
from scipy.special import log_softmax

from keras_dts import Distiller
from keras_dts.losses import DKD, KD
from keras_dts.metrics import TeacherAgreement

RNG = np.random.default_rng(7)
X = RNG.normal(size=(32, 8)).astype("float32")
Y = RNG.integers(0, 3, 32)
# Some of which count nothing.
W = np.where(np.arange(32) < 7, 0.0, RNG.uniform(0.5, 2.0, 32))
W = W.astype("float32")
IMAGES = RNG.normal(size=(8, 4, 4, 3)).astype("float32")


def outputs(model, x):
    found = model.predict(x, verbose=0)
    return keras.tree.map_structure(lambda v: v.astype("float64"), found)


def divergence(teacher, student, temperature=4.0):
    """Computes T² KL of logits, one value for each entry."""
    p, q = (log_softmax(x / temperature, -1) for x in (teacher, student))
    return temperature**2 * np.sum(np.exp(p) * (p - q), -1)


def cross_entropy(logits, labels):
    if np.ndim(labels) < np.ndim(logits):
        labels = np.eye(logits.shape[-1])[labels]
    return -np.sum(labels * log_softmax(logits, -1), -1)


def mean(values, weights=None):
    """Computes the mean over what counts, as losses on logits do."""
    if weights is None:
        return np.mean(values)
    return np.sum(values * weights) / np.sum(weights != 0)


def logged(
    teacher, student, x, y, weights=None, loss=None, metrics=None, **kwargs
):
    distiller = Distiller(teacher, student, **kwargs)
    distiller.compile(keras.optimizers.SGD(0.0), loss, metrics=metrics)
    size = len(keras.tree.flatten(x)[0])
    run = distiller.fit(x, y, size, sample_weight=weights, verbose=0)
    return {name: values[0] for name, values in run.history.items()}


def assert_logged(found, rtol=1e-4, **expected):
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=rtol, abs=1e-5), name


def embedder(width, seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8,))
    x = layers.Dense(width, activation="tanh")(inputs)
    x = layers.Dense(5, name="embedding")(x)
    x = layers.Dense(3, use_bias=False)(layers.UnitNormalization()(x))
    return keras.Model(inputs, x)


def unit(x):
    return x / ops.sqrt(ops.sum(x * x, axis=-1, keepdims=True))


@pytest.mark.parametrize("weights", [None, W])
def test_embeddings_are_compared_on_the_sphere(weights):
    teacher, student = embedder(16, 1), embedder(4, 2)
    loss = keras.distillation.FeatureDistillation(
        lambda t, s: ops.sum(ops.square(unit(t) - unit(s)), axis=-1),
        "embedding",
        "embedding",
    )
    found = logged(
        teacher,
        student,
        X,
        Y,
        weights,
        crossentropy(),
        distillation_losses=loss,
        distillation_loss_weights=[64.0],
    )
    t, s = (
        outputs(keras.Model(m.input, m.get_layer("embedding").output), X)
        for m in (teacher, student)
    )
    t, s = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (t, s))
    distance = mean(np.sum((t - s) ** 2, -1), weights)
    assert_logged(found, distillation_loss=64 * distance)
    assert "gap" not in found


def two_heads():
    keras.utils.set_random_seed(2)
    inputs = keras.Input((8,))
    x = layers.Dense(5, activation="relu")(inputs)
    heads = [layers.Dense(3, name=name)(x) for name in ("class", "teacher")]
    return keras.Model(inputs, heads)


def test_a_head_for_the_labels_and_one_for_the_teacher():
    base, student = mlp(16, seed=1), two_heads()
    inputs = keras.Input((8,))
    both = base(inputs)
    teacher = keras.Model(inputs, [both, both])
    found = logged(
        teacher,
        student,
        X,
        [Y, Y],
        loss=[crossentropy(), None],
        distillation_losses=[[None, KD(3.0)]],
        student_loss_weight=0.5,
    )
    t, (first, second) = outputs(base, X), outputs(student, X)
    ce, kd = cross_entropy(first, Y).mean(), divergence(t, second, 3.0).mean()
    assert_logged(
        found, student_loss=ce, distillation_loss=kd, loss=(ce + kd) / 2
    )
    with pytest.raises(ValueError, match="1 outputs of the teacher, 2 of"):
        Distiller(base, student)


@pytest.mark.parametrize("weights", [None, W])
def test_mixed_examples_with_soft_labels(weights):
    share = RNG.uniform(0.05, 0.95, (32, 1)).astype("float32")
    x = share * X + (1 - share) * X[::-1]
    hot = np.eye(3, dtype="float32")[Y]
    y = share * hot + (1 - share) * hot[::-1]
    teacher, student = mlp(16, seed=1), mlp(seed=2)
    found = logged(
        teacher,
        student,
        x,
        y,
        weights,
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=0.1
        ),
        distillation_losses=DKD(temperature=4.0),
    )
    t, s = outputs(teacher, x), outputs(student, x)
    target = np.eye(3, dtype=bool)[y.argmax(-1)]
    p, q = (np.exp(log_softmax(v / 4.0, -1)) for v in (t, s))
    binary = [
        np.stack([v[target], 1 - v[target]], -1).astype("float64")
        for v in (p, q)
    ]
    others = [v[~target].reshape(32, 2) for v in (p, q)]
    others = [v / v.sum(-1, keepdims=True) for v in others]
    first, second = (np.sum(a * np.log(a / b), -1) for a, b in (binary, others))
    gap = cross_entropy(s, y) - cross_entropy(t, y)
    counts = np.ones(32) if weights is None else weights != 0
    smooth = cross_entropy(s, 0.9 * y + 0.1 / 3)
    assert_logged(
        found,
        distillation_loss=mean(16 * (first + 8 * second), weights),
        gap=gap[counts != 0].mean(),
        student_loss=np.mean(smooth * (1 if weights is None else weights)),
    )


def trained(batch_size, **kwargs):
    student = mlp(seed=2)
    distiller = Distiller(mlp(16, seed=1), student)
    distiller.compile(keras.optimizers.SGD(0.5, **kwargs), crossentropy())
    distiller.fit(
        X, Y, batch_size, sample_weight=1 + W, shuffle=False, verbose=0
    )
    return np.concatenate([np.ravel(w) for w in student.get_weights()])


def test_gradients_are_accumulated_before_they_are_clipped():
    whole = trained(16, clipnorm=0.05)
    parts = trained(4, clipnorm=0.05, gradient_accumulation_steps=4)
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=2e-5)
    assert np.abs(whole - trained(16)).max() > 1e-3


def test_a_teacher_whose_classes_come_in_another_order():
    base = keras.Sequential([mlp(16, seed=1), layers.Softmax()])
    inputs = keras.Input((8,))
    order = [0, 2, 1]
    teacher = keras.Model(inputs, ops.take(base(inputs), order, axis=-1))
    student = mlp(seed=2)
    found = logged(teacher, student, X, Y, loss=crossentropy())
    t, s = np.log(outputs(base, X))[:, order], outputs(student, X)
    gap = cross_entropy(s, Y) - cross_entropy(t, Y)
    kd = divergence(t, s).mean()
    assert_logged(found, distillation_loss=kd, gap=gap.mean())


def masker(width, seed, units=1, activation=None):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(width, 3, padding="same", activation="relu")(inputs)
    return keras.Model(
        inputs, layers.Conv2D(units, 1, activation=activation)(x)
    )


LOSSES_OF_MASKS = {
    "Dice": lambda q, y: 1 - 2 * np.sum(q * y) / (np.sum(q) + np.sum(y)),
    "BinaryFocalCrossentropy": lambda q, y: np.mean(
        (1 - np.where(y == 1, q, 1 - q)) ** 2
        * -np.log(np.where(y == 1, q, 1 - q))
    ),
}


@pytest.mark.parametrize("name", LOSSES_OF_MASKS)
def test_masks_of_one_class(name):
    teacher = masker(8, 1, activation="sigmoid")
    student = masker(3, 2, activation="sigmoid")
    y = RNG.integers(0, 2, (8, 4, 4, 1)).astype("float32")
    found = logged(
        teacher, student, IMAGES, y, loss=getattr(keras.losses, name)()
    )
    p, q = outputs(teacher, IMAGES), outputs(student, IMAGES)
    t, s = (np.concatenate([0 * v, np.log(v / (1 - v))], -1) for v in (p, q))
    assert_logged(
        found,
        rtol=1e-3,
        distillation_loss=divergence(t, s).mean(),
        student_loss=LOSSES_OF_MASKS[name](q, y),
    )


# Keras's metric asks JAX for int64.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning")
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_maps_with_void_pixels(dtype):
    teacher, student = masker(8, 1, units=3), masker(3, 2, units=3)
    y = RNG.integers(0, 3, (8, 4, 4, 1))
    known = RNG.random(y.shape) < 0.7
    metric = keras.metrics.MeanIoU(
        3, ignore_class=255, sparse_y_pred=False, name="iou"
    )
    found = logged(
        teacher,
        student,
        IMAGES,
        np.where(known, y, 255).astype(dtype),
        loss=crossentropy(ignore_class=255),
        metrics=[metric],
    )
    known, y = known[..., 0], y[..., 0]
    t, s = outputs(teacher, IMAGES), outputs(student, IMAGES)
    ce = cross_entropy(s, y)
    first, labels = s.argmax(-1)[known], y[known]
    shared = [np.sum((first == k) & (labels == k)) for k in range(3)]
    either = [np.sum((first == k) | (labels == k)) for k in range(3)]
    assert_logged(
        found,
        student_loss=ce[known].mean(),
        distillation_loss=divergence(t, s)[known].mean(),
        gap=(ce - cross_entropy(t, y))[known].mean(),
        iou=np.mean(np.divide(shared, either)),
    )


def dialogue_reader(width, seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((5, 8))
    x = layers.LSTM(width, return_sequences=True)(inputs)
    return keras.Model(inputs, layers.TimeDistributed(layers.Dense(3))(x))


def test_padded_dialogues_with_weights_of_classes():
    x = RNG.normal(size=(8, 5, 8)).astype("float32")
    y = RNG.integers(0, 3, (8, 5))
    inside = np.arange(5) < RNG.integers(2, 6, (8, 1))
    weights = (inside * np.array([0.5, 1.0, 3.0])[y]).astype("float32")
    teacher, student = dialogue_reader(6, 1), dialogue_reader(3, 2)
    distiller = Distiller(teacher, student)
    distiller.compile(
        keras.optimizers.SGD(0.0),
        crossentropy(),
        distillation_metrics=[TeacherAgreement()],
    )
    run = distiller.fit(x, y, 8, sample_weight=weights, verbose=0)
    found = {name: values[0] for name, values in run.history.items()}
    t, s = outputs(teacher, x), outputs(student, x)
    ce = cross_entropy(s, y)
    same = t.argmax(-1) == s.argmax(-1)
    assert_logged(
        found,
        distillation_loss=mean(divergence(t, s), weights),
        student_loss=mean(ce, weights),
        gap=(ce - cross_entropy(t, y))[inside].mean(),
        teacher_agreement=np.average(same, weights=weights),
    )


class Growing(keras.utils.PyDataset):
    """Data with more batches in each epoch."""

    def __init__(self):
        super().__init__()
        self.batches = 1

    def __len__(self):
        return self.batches

    def __getitem__(self, index):
        part = slice(8 * index, 8 * index + 8)
        return X[part], Y[part]

    def on_epoch_end(self):
        self.batches += 1


def test_data_whose_length_changes():
    def steps(model):
        seen = []
        model.compile("sgd", crossentropy())
        count = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen.append(batch)
        )
        model.fit(Growing(), epochs=3, verbose=0, callbacks=[count])
        return seen

    alone = steps(mlp(seed=2))
    assert steps(Distiller(mlp(16, seed=1), mlp(seed=2))) == alone
