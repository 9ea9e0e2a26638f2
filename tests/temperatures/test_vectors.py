"""Values and gradients of the methods' public implementations, in float64."""

import json
import pathlib

import numpy as np
import pytest
from helpers import number, value_and_grad
from keras import ops

from keras_dts import losses, temperatures

VECTORS = json.loads(
    (pathlib.Path(__file__).parents[1] / "vectors/reference.json").read_text()
)

LOSSES = {
    **{f"kd_T{t}": losses.KD(t) for t in (1, 2, 4, 8)},
    "kd_standardized_T2": losses.KD(temperatures.LogitStandardization(2.0)),
    "dkd_a1_b8_T4": losses.DKD(1.0, 8.0, 4.0),
    "dkd_a1_b0_T4": losses.DKD(1.0, 0.0, 4.0),
    "dkd_a0_b1_T2": losses.DKD(0.0, 1.0, 2.0),
    "dtkd_term_T4": losses.KD(temperatures.SharpnessTemperature(4.0)),
    "mlkd_class_correlation_T4": losses.ClassCorrelation(4.0),
    "mlkd_batch_correlation_T4": losses.BatchCorrelation(4.0),
    "cosine_class_T4": losses.CosineKD(2.0, 4.0),
    "ttm_g0.1": losses.KD(temperatures.TransformedTeacher(0.1)),
    "wttm_g0.2": losses.KD(temperatures.TransformedTeacher(0.2, True)),
    **{
        f"generalized_jsd_beta{beta:g}": losses.GeneralizedJSD(
            beta, normalized=False, temperature=1.0
        )
        for beta in (0, 0.1, 0.5, 0.9, 1)
    },
    "skew_forward_kl_0.1_cross_entropy_form": losses.SkewKL(0.1, 1.0),
    "skew_reverse_kl_0.1": losses.SkewReverseKL(0.1, 1.0),
    "total_variation": losses.TotalVariation(1.0),
    "reverse_kl": losses.ReverseKL(1.0),
}
ANSWERS = ("dtkd_temperatures_ref4", "cswt_temperatures")
TOKENS = ("adakd_hellinger_ratio1", "adakd_hellinger_ratio0.5")


def logits(vector):
    return (
        np.array(vector[f"{whose}_logits"], "float32")
        for whose in ("teacher", "student")
    )


def test_every_entry_is_compared():
    for vector in VECTORS["losses"]:
        assert set(vector["expected"]) == {*LOSSES, *ANSWERS, *TOKENS}


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients(name, case):
    vector = VECTORS["losses"][case]
    expected = vector["expected"][name]
    # Wider where the backend has it: the inputs are float64.
    teacher = np.array(vector["teacher_logits"])
    student = np.array(vector["student_logits"], "float32")
    labels = np.array(vector["labels"], "int32")
    value, grad = value_and_grad(
        lambda s: LOSSES[name].compute_loss(teacher, s, labels), student
    )
    wanted = expected["value"]
    if "cross_entropy_form" in name:
        p = np.exp(teacher - np.logaddexp.reduce(teacher, -1)[:, None])
        wanted += np.mean(np.sum(p * np.log(p), axis=-1))
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    reference = np.array(expected["grad_student"])
    np.testing.assert_allclose(
        grad, reference, rtol=1e-5, atol=1e-5 * np.abs(reference).max()
    )


@pytest.mark.parametrize("case", range(3))
def test_sharpness_temperatures(case):
    vector = VECTORS["losses"][case]
    expected = vector["expected"]["dtkd_temperatures_ref4"]
    answer = temperatures.SharpnessTemperature(4.0)(*logits(vector))
    np.testing.assert_allclose(answer.teacher, expected["teacher"], rtol=1e-5)
    np.testing.assert_allclose(answer.student, expected["student"], rtol=1e-5)


@pytest.mark.parametrize("case", range(3))
def test_similarity_temperatures(case):
    vector = VECTORS["losses"][case]
    expected = vector["expected"]["cswt_temperatures"]
    policy = temperatures.CosineSimilarityTemperature(
        expected["low"], expected["high"]
    )
    answer = policy(*logits(vector))
    for temperature in (answer.teacher, answer.student):
        np.testing.assert_allclose(temperature, expected["value"], rtol=1e-5)
    mean = np.mean(expected["value"])
    assert number(answer.scale) == pytest.approx(mean**2, rel=1e-5)


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_token_difficulty(case, ratio):
    vector = VECTORS["losses"][case]
    expected = vector["expected"][f"adakd_hellinger_ratio{ratio:g}"]
    focus = temperatures.TokenFocus()
    focus.ratio.assign(ratio)
    policy = temperatures.TokenDifficultyTemperature(
        1.0, strength=expected["scale"], focus=focus
    )
    answer = policy(*logits(vector))
    selected = expected["selected"]
    temperature = ops.convert_to_numpy(answer.student)[selected]
    np.testing.assert_allclose(temperature, expected["temperature"], rtol=1e-5)
    # Only the selected tokens count, as if there were no others.
    scale = ops.convert_to_numpy(answer.scale)
    assert set(np.flatnonzero(scale)) == set(selected)
    count = len(scale)
    wanted = temperature**2 * count / len(selected)
    np.testing.assert_allclose(scale[selected], wanted, rtol=1e-6)
