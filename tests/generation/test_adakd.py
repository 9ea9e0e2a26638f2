"""AdaKD on text that the student writes."""

import keras
import numpy as np
import pytest
from adakd import focus_by_hand
from keras import ops
from texts import gpt2

import keras_dts
from keras_dts.generation import StudentText
from keras_dts.generation.packing import PromptPacker
from keras_dts.losses import ReverseKL
from keras_dts.temperatures import TokenDifficultyTemperature, TokenFocus

pytestmark = pytest.mark.torch

LENGTH = 12
DATA = {"prompts": [[7, 8], [9, 10, 11, 12], [3], [20, 21, 22]]}
STOPS = [*range(60)]  # one in five tokens, so that rows have padding


def made(rate, **focus):
    policy = TokenDifficultyTemperature(focus=TokenFocus(**focus))
    distiller = keras_dts.OnPolicyDistiller(
        gpt2(16, seed=1, length=LENGTH),
        gpt2(length=LENGTH),
        ReverseKL(policy),
        text=StudentText(1.0),
        stop_token_ids=STOPS,
        seed=7,
    )
    distiller.compile(keras.optimizers.SGD(rate))
    return distiller, policy.focus


def test_the_ratio_follows_the_losses_of_what_the_student_wrote():
    distiller, focus = made(0.3, tolerance=0.001, change=0.2, warmup=0.25)
    ratios = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ratios.append(float(focus.ratio))
    )
    run = distiller.fit(DATA, epochs=12, verbose=0, callbacks=[note])
    assert run.history["student_text"] == [1] * 12  # a step an epoch
    losses = run.history["distillation_loss"]
    expected = focus_by_hand(losses, 3, tolerance=0.001, change=0.2)
    np.testing.assert_allclose(ratios, expected, rtol=1e-5)
    assert expected[-1] < expected[3] == 1  # it moved after the warm-up


def log_softmax(x):
    return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))


def test_neither_prompts_nor_padding_are_ranked():
    distiller, focus = made(0.0)
    focus.ratio.assign(0.5)
    ids, mask = distiller.write(DATA)
    of_prompt = PromptPacker(distiller.student)(**DATA).x["prompt_mask"] > 0
    taught = np.zeros_like(mask)
    taught[:, :-1] = (mask & ~of_prompt)[:, 1:]
    x = {"token_ids": ids, "padding_mask": mask}
    theirs, ours = (
        ops.convert_to_numpy(model(x)).astype("float64")
        for model in (distiller.teacher, distiller.student)
    )
    roots = [np.exp(log_softmax(z) / 2) for z in (theirs, ours)]
    distances = np.sqrt(np.sum((roots[0] - roots[1]) ** 2, -1) / 2)
    count = taught.sum() // 2
    hardest = sorted(distances[taught])[-count:]
    # Of all tokens, others would be among as many.
    assert sorted(distances.ravel())[-count:] != hardest
    chosen = taught & (distances >= hardest[0])
    square = hardest[(count - 1) // 2] ** 2
    ratio = distances[chosen] ** 2 / square
    temperature = np.exp(-0.5 * (ratio - 1) / (ratio + 1))[:, None]
    q, p = (log_softmax(z[chosen] / temperature) for z in (ours, theirs))
    values = temperature[:, 0] ** 2 * np.sum(np.exp(q) * (q - p), -1)
    logs = distiller.train_on_batch(DATA, return_dict=True)
    assert logs["response_length"] == taught.sum() / 4
    assert logs["distillation_loss"] == pytest.approx(values.mean(), rel=1e-4)
