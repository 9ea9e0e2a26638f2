"""What sets the losses apart."""

import keras
import numpy as np
import pytest
from helpers import blobs, crossentropy, mlp, number, value_and_grad
from keras import layers, ops

from keras_dts import Distiller
from keras_dts.losses import (
    DKD,
    KD,
    MLKD,
    AnnealingKD,
    BatchCorrelation,
    ClassCorrelation,
    CosineKD,
    GeneralizedJSD,
    ReverseKL,
    SkewKL,
    SkewReverseKL,
    UniversalLogitDistillation,
)
from keras_dts.schedules import EpochSchedule
from keras_dts.temperatures import (
    AutoTemperature,
    ConsistentTemperature,
    CosineSimilarityTemperature,
    TokenDifficultyTemperature,
)

X, Y = blobs()


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def pair(shape=(6, 5), seed=0):
    rng = np.random.default_rng(seed)
    return 2 * rng.normal(size=(2, *shape)).astype("float32")


def value_of(loss, *args):
    return number(loss.compute_loss(*args))


@pytest.mark.parametrize(("end", "kind"), [(0.0, KD), (1.0, ReverseKL)])
def test_the_ends_of_the_jsd_are_its_limits(end, kind):
    teacher, student = pair()
    value, grad = value_and_grad(
        lambda s: kind(1.0).compute_loss(teacher, s), student
    )
    for beta in (end, abs(end - 1e-4)):
        loss = GeneralizedJSD(beta, temperature=1.0)
        near, near_grad = value_and_grad(
            lambda s, loss=loss: loss.compute_loss(teacher, s), student
        )
        assert near == pytest.approx(value, rel=5e-3)
        np.testing.assert_allclose(near_grad, grad, atol=5e-3 * abs(grad).max())
    published = GeneralizedJSD(abs(end - 1e-4), False, 1.0)
    assert value_of(published, teacher, student) < 2e-4 * value


def test_near_equality_a_jsd_is_a_kl_divergence_for_every_beta():
    teacher, _ = pair()
    student = teacher + 0.03 * np.random.default_rng(1).normal(size=(6, 5))
    student = student.astype("float32")
    value = value_of(KD(1.0), teacher, student)
    for beta in (0.1, 0.5, 0.9):
        jsd = value_of(GeneralizedJSD(beta, temperature=1.0), teacher, student)
        assert jsd == pytest.approx(value, rel=0.03)


def test_no_skew_is_no_mixture():
    teacher, student = pair()
    for skewed, plain in ((SkewKL, KD), (SkewReverseKL, ReverseKL)):
        value = value_of(skewed(0.0, 2.0), teacher, student)
        assert value == value_of(plain(2.0), teacher, student)
        near = value_of(skewed(1e-6, 2.0), teacher, student)
        assert near == pytest.approx(value, rel=1e-4)


def test_dkd_decouples_kd():
    teacher, student = pair()
    labels = np.array([0, 4, 2, 2, 1, 3], "int32")
    # KD = TCKD + (1 - p_teacher(target)) NCKD, each example.
    target = softmax(teacher)[np.arange(6), labels]
    parts = [
        np.array(
            [
                value_of(DKD(a, b, 1.0), t[None], s[None], y[None])
                for t, s, y in zip(teacher, student, labels, strict=True)
            ]
        )
        for a, b in ((1.0, 0.0), (0.0, 1.0))
    ]
    expected = np.mean(parts[0] + (1 - target) * parts[1])
    value = value_of(KD(1.0), teacher, student)
    assert value == pytest.approx(expected, rel=1e-5)


def test_dkd_takes_the_largest_class_of_soft_labels():
    teacher, student = pair()
    labels = np.array([0, 4, 2, 2, 1, 3], "int32")
    soft = 0.9 * np.eye(5, dtype="float32")[labels] + 0.02
    value = value_of(DKD(), teacher, student, soft)
    assert value == value_of(DKD(), teacher, student, labels)


def test_dkd_needs_labels():
    teacher, student = pair()
    with pytest.raises(ValueError, match=r"`DKD` needs labels.*labels=None"):
        DKD().compute_loss(teacher, student)
    distiller = Distiller(mlp(16, seed=1), mlp(seed=2), DKD())
    distiller.compile("sgd", loss=None)
    before = distiller.student.get_weights()
    with pytest.raises(ValueError, match="`DKD` needs labels"):
        distiller.fit(X, verbose=0)
    for old, new in zip(before, distiller.student.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_published_ramp_is_a_schedule():
    steps, epochs = 4, 5
    ramp = keras.optimizers.schedules.PiecewiseConstantDecay(
        [e * steps - 1 for e in range(1, epochs)],
        [e / epochs for e in range(1, epochs + 1)],
    )
    distiller = Distiller(mlp(16, seed=1), mlp(seed=2), DKD(), [ramp])
    distiller.compile(keras.optimizers.SGD(0.0), crossentropy())
    history = distiller.fit(
        X, Y, batch_size=16, epochs=7, shuffle=False, verbose=0
    ).history["distillation_loss"]
    shares = np.array(history) / history[-1]
    np.testing.assert_allclose(shares, [0.2, 0.4, 0.6, 0.8, 1, 1, 1], 1e-5)


def test_mlkd_by_hand():
    teacher, student = pair()
    levels = {"kl": 0.0, "classes": 0.0, "batch": 0.0}
    for t in (4.0, 3.0, 5.0, 2.0, 6.0):
        p, q = softmax(teacher / t), softmax(student / t)
        levels["kl"] += t**2 * np.mean(np.sum(p * np.log(p / q), -1))
        levels["classes"] += np.sum((p.T @ p - q.T @ q) ** 2) / 5
        levels["batch"] += np.sum((p @ p.T - q @ q.T) ** 2) / 6
    weak = value_of(MLKD(temperature=4.0), teacher, student)
    assert weak == pytest.approx(0.5 * sum(levels.values()), rel=1e-5)
    strong = value_of(MLKD("strong", temperature=4.0), teacher, student)
    assert strong == pytest.approx(levels["kl"], rel=1e-5)


def test_mlkd_on_two_views():
    def two_views(model):
        weak, strong = keras.Input((8,)), keras.Input((8,))
        return keras.Model([weak, strong], [model(weak), model(strong)])

    teacher, student = mlp(16, seed=1), mlp(seed=2)
    strong = (X + 0.3 * np.random.default_rng(0).normal(size=X.shape)).astype(
        "float32"
    )
    losses = [MLKD("weak"), MLKD("strong")]
    distiller = Distiller(two_views(teacher), two_views(student), [losses])
    distiller.compile(keras.optimizers.SGD(0.0), crossentropy())
    history = distiller.fit(
        [X, strong], [Y, Y], batch_size=64, verbose=0
    ).history
    expected = sum(
        value_of(
            loss,
            teacher.predict(x, verbose=0),
            student.predict(x, verbose=0),
        )
        for loss, x in zip(losses, (X, strong), strict=True)
    )
    assert history["distillation_loss"][0] == pytest.approx(expected, rel=1e-5)
    labels = [crossentropy()(Y, student(x)) for x in (X, strong)]
    expected = sum(map(number, labels))
    assert history["student_loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "loss", [ClassCorrelation(2.0), BatchCorrelation(2.0), CosineKD(2.0, 2.0)]
)
def test_a_sample_weight_weighs_the_batchs_value(loss):
    teacher, student = pair()
    value = value_of(loss, teacher, student)
    doubled = value_of(loss, teacher, student, None, np.full(6, 2.0))
    assert doubled == pytest.approx(2 * value, rel=1e-6)


def test_cosine_by_hand():
    teacher, student = pair()
    p, q = softmax(teacher / 3), softmax(student / 3)
    cosines = np.sum(p * q, 0) / np.sqrt(np.sum(p * p, 0) * np.sum(q * q, 0))
    expected = 2 * 9 * (1 - cosines.mean())
    value = value_of(CosineKD(2.0, 3.0), teacher, student)
    assert value == pytest.approx(expected, rel=1e-4)


def test_annealing_has_two_phases():
    weight = EpochSchedule([4], [0.0, 1.0])
    teacher, student = mlp(16, seed=1), mlp(seed=2)
    distiller = Distiller(
        teacher,
        student,
        AnnealingKD(epochs=4, levels=2),
        student_loss_weight=weight,
    )
    distiller.compile(keras.optimizers.SGD(0.0), crossentropy())
    history = distiller.fit(
        X, Y, batch_size=16, epochs=6, shuffle=False, verbose=0
    ).history
    theirs, ours = (m.predict(X, verbose=0) for m in (teacher, student))
    half, whole = (np.mean((ours - f * theirs) ** 2) for f in (0.5, 1.0))
    labels = number(crossentropy()(Y, ours))
    expected = [half, half, whole, whole, labels, labels]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)


def test_vocabularies_of_different_size():
    teacher, student = mlp(16, 7, seed=1), mlp(6, 3, seed=2)
    loss = UniversalLogitDistillation(temperature=1.0)
    distiller = Distiller(teacher, student, loss)
    distiller.compile(keras.optimizers.SGD(0.0), crossentropy())
    history = distiller.fit(X, Y, batch_size=64, verbose=0).history
    p = np.sort(softmax(teacher.predict(X, verbose=0)))[:, ::-1]
    q = np.sort(softmax(student.predict(X, verbose=0)))[:, ::-1]
    q = np.pad(q, ((0, 0), (0, 4)))
    expected = np.mean(np.sum(np.abs(p - q), axis=-1))
    assert history["distillation_loss"][0] == pytest.approx(expected, rel=1e-5)
    assert history["gap"][0] == 0.0
    with pytest.raises(ValueError, match="must have the same classes"):
        Distiller(teacher, student, [loss, KD()])


@pytest.mark.parametrize(
    "policy",
    [
        AutoTemperature,
        ConsistentTemperature,
        CosineSimilarityTemperature,
        TokenDifficultyTemperature,
    ],
)
def test_policies_that_compare_classes_say_so(policy):
    distiller = Distiller(
        mlp(16, 7, seed=1),
        mlp(6, 3, seed=2),
        UniversalLogitDistillation(),
        temperature=policy(),
    )
    distiller.compile("sgd", crossentropy())
    message = f"`{policy.__name__}` compares .* 7 of the teacher and 3 of"
    with pytest.raises(ValueError, match=message):
        distiller.fit(X, Y, verbose=0)


def test_one_unit_is_the_positive_class_of_two():
    teacher, student = pair((6, 1))
    two = [np.concatenate([0 * z, z], axis=-1) for z in (teacher, student)]
    labels = np.array([0, 1, 1, 0, 1, 0], "int32")
    for loss in (KD(2.0), DKD(1.0, 1.0, 2.0)):
        value = value_of(loss, teacher, student, labels)
        assert value == pytest.approx(value_of(loss, *two, labels), rel=1e-6)


def test_losses_work_token_by_token_with_padding():
    inputs = keras.Input((None,), dtype="int32")

    def tagger(width, seed):
        x = layers.Embedding(11, width, mask_zero=True)(inputs)
        model = keras.Model(inputs, layers.Dense(5)(x))
        rng = np.random.default_rng(seed)
        for weight in model.trainable_weights:
            weight.assign(rng.normal(size=weight.shape))
        return model

    teacher, student = tagger(12, 1), tagger(4, 2)
    rng = np.random.default_rng(3)
    x, y = rng.integers(1, 11, (4, 6)), rng.integers(0, 5, (4, 6))
    padded = [np.pad(a, ((0, 0), (0, 5))) for a in (x, y)]
    values = []
    for tokens, labels in ((x, y), padded):
        distiller = Distiller(
            teacher, student, [DKD(), GeneralizedJSD(), CosineKD()]
        )
        distiller.compile(keras.optimizers.SGD(0.0), crossentropy())
        history = distiller.fit(tokens, labels, verbose=0).history
        values.append(history["distillation_loss"][0])
    assert values[1] == pytest.approx(values[0], rel=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GeneralizedJSD(1.5), r"`beta` .*at most 1.*beta=1\.5"),
        (lambda: SkewKL(1.0), r"`skew` .*less than 1"),
        (lambda: SkewReverseKL(-0.1), r"`skew` .*at least 0"),
        (lambda: DKD(alpha=-1.0), r"`alpha` .*at least 0"),
        (lambda: DKD(beta=float("inf")), r"`beta` must be a finite number"),
        (lambda: CosineKD(alpha=-1), r"`alpha` .*at least 0.*alpha=-1"),
        (lambda: MLKD("both"), r"`view` must be one of 'weak', 'strong'"),
        (lambda: MLKD(temperatures=[0.0]), r"`temperatures` .*greater than 0"),
        (lambda: MLKD(share=-1.0), r"`share` .*at least 0"),
        (lambda: AnnealingKD(5, 10), r"`epochs` .*at least 10.*epochs=5"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_reverse_divergence_with_a_mask_by_hand():
    teacher, student = pair((2, 3, 4))
    mask = ops.convert_to_tensor(np.array([[1, 0, 0], [1, 1, 0]]))
    value = value_of(ReverseKL(1.0), teacher, student, None, mask)
    kept = np.array([[1, 0, 0], [1, 1, 0]], bool)
    p, q = softmax(teacher[kept]), softmax(student[kept])
    expected = np.mean(np.sum(q * np.log(q / p), axis=-1))
    assert value == pytest.approx(expected, rel=1e-5)
