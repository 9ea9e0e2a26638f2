"""What `test_replicas.py` runs: trainings alone, and by replicas.

Prints one JSON object in its last line. On TensorFlow a process has all
replicas, or is one of several workers; on PyTorch it is one of the replicas.
"""

import contextlib
import json
import os
import sys

import cases
import keras
import numpy as np
from helpers import crossentropy, randomize

import keras_dts
from keras_dts import backend, losses, temperatures

ON_TENSORFLOW = keras.config.backend() == "tensorflow"
RANK = int(os.environ.get("RANK", "0"))
COUNT = int(os.environ["COUNT"])
# Traced, since nothing else runs as users run it; the others run faster.
TRACED = ("reference", "chunks")

# What TensorFlow's workers train.
WORKERS = ("reference", "difficulty")

used = []


class Recorded(keras_dts.DynamicTemperature):
    """Notes the temperature of each step, for each replica."""

    def snapshot(self, batch):
        soften = super().snapshot(batch)
        temperature = soften(None).student
        if ON_TENSORFLOW:
            import tensorflow as tf

            context = tf.distribute.get_replica_context()
            replica = context.replica_id_in_sync_group
            tf.numpy_function(note, [replica, temperature], [])
        else:
            note(RANK, temperature.detach().numpy())
        return soften


def note(replica, temperature):
    used.append((int(replica), float(temperature)))


def run(name, **options):
    """Trains a case, and returns what it ended with as lists."""
    case = cases.CASES[name]
    if ON_TENSORFLOW and name not in TRACED:
        case.options["run_eagerly"] = True
    found = cases.run(name, **options)
    return {name: array.tolist() for name, array in found.items()}


def alone(names):
    return {name: run(name) for name in names} | {"strings": strings()}


def recorded():
    """Returns the temperatures that each replica has used."""
    used.clear()
    policy = Recorded(8.0, 1.0, 8.0, momentum=0.5, gap_scale="smooth")
    cases.CASES["recorded"] = cases.Case(
        lambda t, s: keras_dts.Distiller(t, s, temperature=policy)
    )
    run("recorded")
    return [[t for r, t in used if r == replica] for replica in range(COUNT)]


def distiller(**options):
    teacher, student = cases.classifier(12, None), cases.classifier(6, None)
    model = keras_dts.Distiller(teacher, student, **options)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", crossentropy, run_eagerly=ON_TENSORFLOW)
    return model


def message(function):
    """Returns the message of the error that a function raises."""
    try:
        function()
    except ValueError as error:
        return str(error)
    return ""


def refused():
    """Returns why policies that learn by themselves do not train here."""
    data = cases.data(cases.CASES["reference"])
    x, y = data["x"], data["y"]
    policy = temperatures.MetaTemperature(validation_data=(x[:8], y[:8]))
    model = distiller(temperature=policy)
    return message(lambda: model.fit(x, y, batch_size=16, verbose=0))


def broken():
    """Returns the error of a label that is bad in one replica alone."""
    data = cases.data(cases.CASES["reference"])
    x, y = data["x"], data["y"].copy()
    y[17] = 99  # in the second batch, of the first replica
    model = distiller()
    before = [w.numpy() for w in model.student.weights]
    error = message(
        lambda: model.fit(x[16:32], y[16:32], batch_size=16, verbose=0)
    )
    after = [w.numpy() for w in model.student.weights]
    same = all(map(np.array_equal, before, after))
    return {"error": error, "unchanged": same}


def strings():
    """Trains on raw strings with padding, and returns what came of it.

    KerasHub's preprocessor makes masks of them, for inputs and as weights; the
    models are smaller than its own, which take long to trace.
    """
    from keras_hub.models import CausalLM, GPT2CausalLMPreprocessor
    from texts import WORDS, gpt2_tokenizer

    tokenizer = gpt2_tokenizer()
    preprocessor = GPT2CausalLMPreprocessor(tokenizer, sequence_length=12)
    size = tokenizer.vocabulary_size()

    def language_model(width, seed):
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "padding_mask")
        }
        x = keras.layers.Embedding(size, width)(inputs["token_ids"])
        mask = keras.ops.cast(inputs["padding_mask"], "float32")
        x = keras.layers.Multiply()([x, mask[..., None]])
        model = CausalLM(inputs, keras.layers.Dense(size)(x))
        model.preprocessor = preprocessor
        return randomize(model, seed)

    rng = np.random.default_rng(0)
    # In the first half of each batch there is more padding.
    lengths = np.where(np.arange(20) % 4 < 2, 2, 9)
    texts = [" ".join(rng.choice(WORDS, n)) for n in lengths]
    model = keras_dts.Distiller(
        language_model(12, 1), language_model(6, 2), temperature=cases.dts()
    )
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        crossentropy(),
        jit_compile=False,
    )
    history = model.fit(
        texts, batch_size=4, epochs=4, shuffle=False, verbose=0
    ).history
    found = cases.found(model, history)
    return {name: array.tolist() for name, array in found.items()}


def without_gradient():
    """Returns the error of an output that no loss reads."""
    x = keras.Input((cases.WIDTH,))
    heads = [keras.layers.Dense(cases.CLASSES, name=n)(x) for n in "ab"]
    teacher, student = keras.Model(x, heads), keras.Model(x, heads)
    student = keras.models.clone_model(student)
    model = keras_dts.Distiller(teacher, student, [[losses.KD(2.0), None]])
    model.compile("sgd")
    data = cases.data(cases.CASES["reference"])["x"]
    return message(lambda: model.fit(data, batch_size=16, verbose=0))


def messages():
    """Returns how many messages a step sends, by temperature."""
    import torch.distributed as dist

    sent = []
    for name in ("all_reduce", "all_gather"):
        send = getattr(dist, name)

        def counted(*args, send=send, **kwargs):
            sent.append(send)
            return send(*args, **kwargs)

        setattr(dist, name, counted)
    found = {}
    for name, policy in (
        ("constant", 4.0),
        ("dts", keras_dts.DynamicTemperature(8.0, 2.0, 8.0)),
        ("ctkd", temperatures.CurriculumTemperature()),
        ("auto", "auto"),
        ("dts of auto", keras_dts.DynamicTemperature("auto")),
        ("adakd", temperatures.TokenDifficultyTemperature()),
    ):
        model = distiller(temperature=policy)
        data = cases.data(cases.CASES["reference"])
        x, y = data["x"][:16], data["y"][:16]
        model.train_on_batch(x, y)
        sent.clear()
        with backend.one_step():  # without the sums of the metrics
            model.train_on_batch(x, y)
        found[name] = len(sent)
    return found


def worker(strategy, name):
    """Trains a case in a loop, as one of the workers of TensorFlow.

    Returns:
        What the training ended with and what it logged, as lists.
    """
    import tensorflow as tf

    case = cases.CASES[name]
    keras.utils.set_random_seed(3)  # for projectors
    with strategy.scope():
        model = cases.make(case)
        model.optimizer.build(model.trainable_variables)
    arrays = {k: v for k, v in cases.data(case).items() if v is not None}

    def part(context):
        rows = np.arange(case.rows).reshape(-1, COUNT, cases.BATCH // COUNT)
        rows = rows[:, context.input_pipeline_id].reshape(-1)
        mine = tuple(array[rows] for array in arrays.values())
        data = tf.data.Dataset.from_tensor_slices(mine)
        return data.batch(cases.BATCH // COUNT).repeat()

    batches = iter(strategy.distribute_datasets_from_function(part))

    @tf.function(autograph=False)
    def step(batch):
        strategy.run(model.train_step, args=(batch,))

    history, steps = {}, case.rows // cases.BATCH
    for epoch in range(cases.EPOCHS):
        for policy in model.policies:
            policy.begin_epoch(epoch, cases.EPOCHS, steps)
        model.reset_metrics()
        for _ in range(steps):
            step(next(batches))
        for log, value in model.get_metrics_result().items():
            history.setdefault(log, []).append(float(value))
    found = cases.found(model, history)
    return {name: array.tolist() for name, array in found.items()}


def main():
    names = sys.argv[1].split(",")
    results = {}
    if "TF_CONFIG" in os.environ:
        import tensorflow as tf

        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        results = {name: worker(strategy, name) for name in WORKERS}
        sys.stdout.write(f"\n{json.dumps(results)}\n")
        return
    scope = contextlib.nullcontext()
    if RANK == 0:
        results["alone"] = alone(names)
    if ON_TENSORFLOW:
        import tensorflow as tf

        devices = [f"CPU:{i}" for i in range(COUNT)]
        scope = tf.distribute.MirroredStrategy(devices).scope()
    else:
        import torch.distributed as dist

        address = f"tcp://{os.environ['ADDRESS']}"
        dist.init_process_group("gloo", address, rank=RANK, world_size=COUNT)
        if os.environ["WAY"] == "distribution":
            distribution = keras.distribution.DataParallel()
            keras.distribution.set_distribution(distribution)
    with scope:
        results["together"] = alone(names)
        results["used"] = recorded()
        results["refused"] = refused()
        results["broken"] = broken()
    if not ON_TENSORFLOW:
        results["without gradient"] = without_gradient()
        results["messages"] = messages()
    sys.stdout.write(f"\n{json.dumps(results)}\n")


if __name__ == "__main__":
    if ON_TENSORFLOW:
        import tensorflow as tf

        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * COUNT,
        )
    main()
