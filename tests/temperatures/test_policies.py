"""What sets the temperature policies apart."""

import math

import keras
import numpy as np
import pytest
import scipy.special
from adakd import focus_by_hand
from helpers import blobs, crossentropy, mlp, number, value_and_grad
from keras import ops

from keras_dts import DTS, Distiller, DynamicTemperature
from keras_dts.losses import KD
from keras_dts.temperatures import (
    AnnealedTeacher,
    ConsistentTemperature,
    CosineSimilarityTemperature,
    CurriculumTemperature,
    LogitStandardization,
    ScheduledTemperature,
    SharpnessTemperature,
    TokenDifficultyTemperature,
    TokenFocus,
    TransformedTeacher,
)

X, Y = blobs()
LINE = keras.optimizers.schedules.PolynomialDecay(8.0, 8, 4.0)


def fit(distiller, epochs=2, batch_size=16, **kwargs):
    distiller.compile(keras.optimizers.SGD(0.05), crossentropy())
    return distiller.fit(
        X,
        Y,
        batch_size=batch_size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        **kwargs,
    ).history


def models():
    return mlp(16, seed=1), mlp(seed=2)


def logits(*rows):
    return np.array(rows, "float32")


@pytest.mark.parametrize(
    "where", ["the distiller's", "the loss's", "a policy's"]
)
def test_a_schedule_is_a_temperature(where):
    if where == "the distiller's":
        distiller = Distiller(*models(), temperature=LINE)
    elif where == "the loss's":
        distiller = Distiller(*models(), KD(LINE))
    else:
        distiller = Distiller(*models(), temperature=ScheduledTemperature(LINE))
    history = fit(distiller)
    policy = distiller.policies[0]
    assert number(policy.step) == 8
    if where != "the loss's":
        # Each epoch's mean, over its four steps.
        assert history["temperature"] == pytest.approx([7.25, 5.25])


def test_a_schedule_stays_above_0():
    down = keras.optimizers.schedules.PolynomialDecay(1.0, 1, 0.0)
    policy = ScheduledTemperature(down)
    zeros = logits([0, 0])
    policy(zeros, zeros, training=True)
    answer = policy(zeros, zeros, training=True)
    assert number(answer.student) == pytest.approx(1e-3)
    assert number(answer.scale) == pytest.approx(1e-6)


@pytest.mark.parametrize("kind", [LogitStandardization, SharpnessTemperature])
def test_dts_drives_the_base_of_another_policy(kind):
    policy = kind(DynamicTemperature(3.0, 3.0, 3.0))
    distiller = Distiller(*models(), temperature=policy)
    fit(distiller, epochs=30, callbacks=[DTS(4.0, 1.0, 4.0)])
    assert policy.base.bounds == (4.0, 1.0, 4.0)
    base = number(policy.base.temperature)
    assert base == pytest.approx(1.0, abs=0.05)
    teacher, student = logits([5.0, 1.0, 0.0]), logits([3.0, 1.0, 0.5])
    answer = policy(teacher, student)
    if kind is LogitStandardization:
        deviation = np.std(student, ddof=1)
        assert number(answer.student[0]) == pytest.approx(base * deviation)
        assert number(answer.scale) == pytest.approx(base**2)
    else:
        assert number(answer.teacher[0]) == pytest.approx(2 * base * 5 / 8)


def test_dts_refuses_a_policy_it_cannot_drive():
    distiller = Distiller(*models(), temperature=LogitStandardization(LINE))
    with pytest.raises(ValueError, match=r"`DTS` drives .*a policy that is "):
        fit(distiller, callbacks=[DTS()])


def test_standardization_is_a_temperature_of_the_standard_deviation():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 4, 7)).astype("float32")

    def standardized(z):
        centred = z - z.mean(-1, keepdims=True)
        return centred / (z.std(-1, ddof=1, keepdims=True) + 1e-7)

    value = KD(LogitStandardization(2.0)).compute_loss(teacher, student)
    expected = KD(2.0).compute_loss(
        standardized(teacher), standardized(student)
    )
    assert number(value) == pytest.approx(number(expected), rel=1e-5)
    # What the teacher's logits are multiplied by does not matter.
    again = KD(LogitStandardization(2.0)).compute_loss(9 * teacher, student)
    assert number(again) == pytest.approx(number(value), rel=1e-4)


def test_sharpness_without_positive_logits_is_the_reference():
    policy = SharpnessTemperature(4.0)
    for teacher, student in (([-1, -2], [3, 1]), ([3, 1], [-1, -2])):
        answer = policy(logits(teacher), logits(student))
        assert number(answer.teacher[0]) == number(answer.student[0]) == 4.0
    answer = policy(logits([1e4, 0]), logits([1e-3, 0]))
    assert number(answer.student[0]) == pytest.approx(0.04)
    assert number(answer.teacher[0]) == pytest.approx(7.96)


def test_a_fixed_scale_carries_no_gradient():
    rng = np.random.default_rng(0)
    teacher, student = 3 + rng.normal(size=(2, 4, 5)).astype("float32")

    def grad(scale_of):
        def value_of(s):
            answer = scale_of(SharpnessTemperature(4.0, True)(teacher, s))
            return ops.sum(answer) + 0.0 * ops.sum(s)

        return value_and_grad(value_of, student)[1]

    assert np.all(grad(lambda answer: answer.scale) == 0.0)
    assert np.any(grad(lambda answer: answer.student) != 0.0)
    fixed, published = (
        KD(SharpnessTemperature(4.0, flag)).compute_loss(teacher, student)
        for flag in (True, False)
    )
    assert number(fixed) == number(published)


def test_the_reconstruction_does_not_mind_the_size_of_students_logits():
    rng = np.random.default_rng(0)
    teacher, student = 3 * rng.normal(size=(2, 4, 5)).astype("float32")
    policy = ConsistentTemperature(weighted=False)
    scale = ops.stop_gradient(policy(teacher, student).scale)

    def divergence(s):
        return ops.sum(KD(policy).compute_loss(teacher, s) / ops.mean(scale))

    _, grad = value_and_grad(divergence, student)
    # No slope along the logits themselves, after their mean is taken off.
    centred = student - student.mean(-1, keepdims=True)
    along = np.sum(grad * centred, axis=-1)
    size = np.linalg.norm(grad, axis=-1) * np.linalg.norm(centred, axis=-1)
    np.testing.assert_allclose(along / size, 0.0, atol=1e-5)


def test_equally_similar_examples_get_the_middle():
    policy = CosineSimilarityTemperature(2.0, 6.0)
    answer = policy(logits([1, 2], [1, 2]), logits([3, 0], [3, 0]))
    np.testing.assert_allclose(answer.student, [4.0, 4.0])
    assert number(answer.scale) == pytest.approx(16.0)


def test_a_transformed_teacher_is_a_power_of_its_probabilities():
    rng = np.random.default_rng(1)
    teacher, student = rng.normal(size=(2, 3, 5)).astype("float32")
    p, q = (scipy.special.softmax(z, axis=-1) for z in (teacher, student))
    power = p**0.3
    total = power.sum(-1, keepdims=True)
    values = np.sum(power / total * np.log(power / total / q), axis=-1)
    value = KD(TransformedTeacher(0.3)).compute_loss(teacher, student)
    assert number(value) == pytest.approx(values.mean(), rel=1e-5)
    weighted = KD(TransformedTeacher(0.3, weighted=True))
    value = weighted.compute_loss(teacher, student)
    assert number(value) == pytest.approx(
        np.mean(total[:, 0] * values), rel=1e-5
    )


@pytest.mark.parametrize("instance", [False, True])
def test_the_curriculum_climbs_the_loss(instance):
    policy = CurriculumTemperature(epochs=10, instance=instance, units=3)
    teacher, student = logits([4, 0, 1]), logits([0, 3, 1])
    policy(teacher, student)
    for weight in policy.trainable_weights[:-1]:
        weight.assign(0.05 * np.ones(weight.shape))
    weight = policy.trainable_weights[-1]  # theta, or the network's last bias

    def slope(strength):
        policy.strength.assign(strength)
        loss = KD(policy)

        def value_of(theta):
            with keras.StatelessScope([(weight, theta)]):
                return loss.compute_loss(teacher, student)

        start = np.array(ops.convert_to_numpy(weight), "float32")
        _, grad = value_and_grad(value_of, start)
        step = np.full_like(start, 0.1)
        above, below = (
            number(value_of(ops.convert_to_tensor(start + d)))
            for d in (step, -step)
        )
        return float(np.sum(grad)), (above - below) / 0.2

    grad, true_slope = slope(0.5)
    # The optimizer goes down what it is told: half of it, and reversed.
    assert grad == pytest.approx(-0.5 * true_slope, rel=1e-2)
    assert slope(0.0)[0] == 0.0


def test_the_curriculum_grows_along_a_cosine():
    policy = CurriculumTemperature(epochs=10)
    strengths = []
    for epoch in (0, 4, 9, 30):
        policy.begin_epoch(epoch, 40, None)
        strengths.append(number(policy.strength))
    half = [0.5 * (1 - math.cos(math.pi * e / 10)) for e in (1, 5, 10, 10)]
    assert strengths == pytest.approx(half, abs=1e-6)


@pytest.mark.parametrize("instance", [False, True])
def test_the_students_optimizer_trains_the_curriculum(instance):
    policy = CurriculumTemperature(epochs=1, instance=instance)
    distiller = Distiller(*models(), temperature=policy)
    assert policy.built
    count = len(policy.trainable_weights)
    assert count == (4 if instance else 1)
    assert len(distiller.trainable_weights) == 4 + count
    before = [ops.convert_to_numpy(w) for w in policy.trainable_weights]
    before = [np.array(w) for w in before]
    fit(distiller)
    for old, new in zip(before, policy.trainable_weights, strict=True):
        assert np.max(np.abs(ops.convert_to_numpy(new) - old)) > 1e-6


def test_a_policy_that_no_loss_uses_is_not_trained():
    distiller = Distiller(
        *models(), KD(2.0), temperature=CurriculumTemperature()
    )
    assert len(distiller.trainable_weights) == 4


def test_an_instance_curriculum_wants_the_same_classes_everywhere():
    policy = CurriculumTemperature(instance=True)
    policy(logits([0, 1]), logits([0, 1]))
    with pytest.raises(ValueError, match=r"classes in all outputs, 2\..* 3"):
        policy(logits([0, 1, 2]), logits([0, 1, 2]))


def test_consistent_temperatures_by_hand():
    teacher, student = logits([6.0, 0.0, 0.0]), logits([0.0, 3.0, 0.0])
    labels = np.array([0], "int32")
    answer = ConsistentTemperature(2.0)(teacher, student, labels)
    assert number(answer.teacher[0]) == pytest.approx(2.0)  # (6 - 2) / 2
    assert number(answer.student[0]) == pytest.approx(1.0)  # (3 - 1) / 2
    confidence = math.exp(6) / (math.exp(6) + 2)
    miss = 1 - 1 / (math.exp(3) + 2)
    expected = 2.0 * confidence * miss
    assert number(answer.scale[0]) == pytest.approx(expected, rel=1e-5)
    # Without labels, the teacher's first choice is the target.
    again = ConsistentTemperature(2.0)(teacher, student)
    assert number(again.scale[0]) == pytest.approx(expected, rel=1e-5)
    plain = ConsistentTemperature(2.0, weighted=False)
    assert number(plain(teacher, student).scale[0]) == pytest.approx(2.0)


def test_a_softened_teacher_is_as_informative_at_any_size():
    policy = ConsistentTemperature(3.0)
    teacher = logits([6.0, 1.0, 0.0], [60.0, 10.0, 0.0], [66.0, 16.0, 6.0])
    temperature = ops.convert_to_numpy(policy(teacher, teacher).teacher)
    softened = ops.convert_to_numpy(ops.softmax(teacher / temperature[:, None]))
    np.testing.assert_allclose(softened[1:], softened[:1].repeat(2, 0), 1e-5)


@pytest.mark.parametrize("warmup_steps", [0, 20])
def test_focus_follows_the_loss(warmup_steps):
    losses = [4.0] * 10 + [1.0] * 60 + [12.0] * 30 + [0.0] * 400
    focus = TokenFocus(0.05, 0.1, warmup=0.02)
    focus.warmup_steps.assign(warmup_steps)
    ratios = []
    for loss in losses:
        focus.observe(loss)
        ratios.append(number(focus.ratio))
    expected = focus_by_hand(losses, warmup_steps)
    np.testing.assert_allclose(ratios, expected, rtol=1e-4)
    assert min(expected) == 0.1  # it went all the way down
    assert np.any(np.diff(expected) > 0)  # and up between


@pytest.mark.torch
@pytest.mark.parametrize(("warmup_steps", "moves"), [(2, 9), (2.5, 9), (3, 10)])
def test_focus_compares_from_the_second_step_after_the_warmup(
    warmup_steps, moves
):
    # Moving means: 4, 4, 4.04, and from then on 0.99 times the last one. Six
    # such steps are a fall by 5.9 %, five by 4.9 %: six steps after the
    # reference, the mean of step 3 or 4, the ratio moves.
    losses = [4.0, 4.0, 8.0, *[0.0] * 7]
    focus = TokenFocus(tolerance=0.05, change=0.1)
    focus.warmup_steps.assign(warmup_steps)
    ratios = []
    for loss in losses:
        focus.observe(loss)
        ratios.append(number(focus.ratio))
    still = [1.0] * (moves - 1)
    np.testing.assert_allclose(ratios, [*still, *[0.9] * (11 - moves)], 1e-6)
    reference = 4.04 * 0.99 ** (moves - 3)
    assert number(focus.reference) == pytest.approx(reference, rel=1e-5)


def test_focus_chooses_the_hardest_and_at_least_one():
    focus = TokenFocus()
    difficulty = np.array([[0.1, 0.5, 0.9], [0.5, 0.3, 0.8]], "float32")
    counted = np.array([[1, 1, 1], [1, 1, 0]], bool)
    for ratio, count in ((1.0, 5), (0.7, 3), (0.4, 2), (0.01, 1)):
        focus.ratio.assign(ratio)
        chosen, share = focus.choose(
            ops.convert_to_tensor(difficulty.ravel()),
            ops.convert_to_tensor(counted.ravel()),
        )
        chosen = ops.convert_to_numpy(chosen).reshape(2, 3)
        assert chosen.sum() == count  # ties do not make it more
        assert not chosen[1, 2]
        assert chosen[0, 2]
        assert number(share) == pytest.approx(count / 5)


def test_fit_tells_the_focus_steps_and_losses():
    focus = TokenFocus(0.001, 0.2, warmup=0.25)
    policy = TokenDifficultyTemperature(1.0, focus=focus)
    distiller = Distiller(*models(), KD(policy))
    fit(distiller, epochs=4)
    assert number(focus.warmup_steps) == 4  # of 16
    assert number(focus.step) == 16
    assert number(focus.ratio) < 1.0
    shared = TokenDifficultyTemperature(1.0, focus=TokenFocus(warmup=0.0))
    distiller = Distiller(*models(), temperature=shared)
    history = fit(distiller, epochs=1, batch_size=64)
    assert number(shared.focus.step) == 1
    first = history["distillation_loss"][0]
    assert number(shared.focus.average) == pytest.approx(first, rel=1e-6)


def test_focus_needs_to_know_how_long_the_training_is():
    policy = TokenDifficultyTemperature(focus=TokenFocus())
    with pytest.raises(ValueError, match=r"`warmup` is a part .*steps_per_ep"):
        policy.begin_epoch(0, 3, None)


def test_the_annealed_teacher_grows_in_levels():
    policy = AnnealedTeacher(epochs=7, levels=3)
    levels = []
    for epoch in range(9):
        policy.begin_epoch(epoch, 12, None)
        levels.append(number(policy.level))
    assert levels == [1, 1, 2, 2, 3, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScheduledTemperature(4.0), r"`schedule` must be a `keras.*4"),
        (
            lambda: LogitStandardization(0.0),
            r"`base` must be a positive number, .*Received: base=0\.0",
        ),
        (
            lambda: SharpnessTemperature("4"),
            r"`reference` must be a positive .*Received: reference='4'",
        ),
        (
            lambda: CosineSimilarityTemperature(3.0, 2.0),
            r"`low` must be at most `high`\. Received: low=3\.0, high=2\.0",
        ),
        (lambda: CosineSimilarityTemperature(0.0), r"`low` .*greater than 0"),
        (lambda: TransformedTeacher(0.0), r"`exponent` .*greater than 0"),
        (lambda: TransformedTeacher(1.5), r"`exponent` .*at most 1.*=1\.5"),
        (lambda: CurriculumTemperature(epochs=0), r"`epochs` .*at least 1"),
        (lambda: CurriculumTemperature(start=0), r"`start` .*greater than 0"),
        (lambda: ConsistentTemperature(-1.0), r"`ratio` .*greater than 0"),
        (
            lambda: TokenDifficultyTemperature(focus=0.5),
            r"`focus` must be `None` or a .*TokenFocus`\. Received: 0\.5",
        ),
        (
            lambda: TokenDifficultyTemperature(strength=math.nan),
            r"`strength` must be a finite number\. Received: strength=nan",
        ),
        (lambda: TokenFocus(minimum=0.0), r"`minimum` .*greater than 0"),
        (lambda: TokenFocus(change=1.0), r"`change` .*less than 1"),
        (lambda: AnnealedTeacher(5, 10), r"`epochs` .*at least 10.*epochs=5"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
