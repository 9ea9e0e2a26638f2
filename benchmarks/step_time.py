"""Measures a step of distillation against Keras's own, and against the floor.

    KERAS_BACKEND=jax python benchmarks/step_time.py --task images --out results

trains the same student on the same batches in several ways, in turns, and
prints the median time of a step of each and the ratios that matter, with
quartiles. `--task images` distils a resnet32x4 into a resnet8x4 in batches of
64 images of 32 x 32, 100 classes; `--task text` a BERT-style classifier of 4
layers into one of 2 in batches of 32 texts of 128 tokens; `--task perceptron`
two models that cost next to nothing, so that what a step pays whatever the
models shows. `README.md` in this folder says what each line is.

`--replicas 2` shares each batch among two replicas: on TensorFlow by a
`MirroredStrategy` over two devices of the processor, on JAX by a `DataParallel`
(XLA_FLAGS=--xla_force_host_platform_device_count=2), on PyTorch by processes
that `torchrun --nproc-per-node 2` starts; the first one reports.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import keras
import models
import numpy as np
import timing
from timing import Data, Ratio, Run

import keras_dts

TEMPERATURE = 4.0
STUDENT_LOSS_WEIGHT = 0.1
# More than there are rounds.
EPOCHS = 1_000

ALONE = "student alone"
TEACHER = "teacher forward"
CONSTANT = "constant"
DTS = "DTS"
CORE = "core"
FEATURE = "constant, feature"
CORE_FEATURE = "core, feature"
LOOP = "torch loop"

RATIOS = (
    Ratio("DTS / constant", DTS, (CONSTANT,), 1.02),
    Ratio("constant / core", CONSTANT, (CORE,), 1.00),
    Ratio("feature / core's feature", FEATURE, (CORE_FEATURE,), 0.80),
    Ratio("constant / floor", CONSTANT, (ALONE, TEACHER), 1.05),
    Ratio("constant / torch loop", CONSTANT, (LOOP,), 1.05),
)


class Images:
    """A resnet32x4 into a resnet8x4, by SGD with momentum.

    Args:
        small: Whether everything is tiny, whatever the other arguments are.
        batch: The number of images in a batch.
    """

    jit_compile: bool | str = "auto"
    teacher_layer = student_layer = "stage_3"

    def __init__(self, small: bool, *, batch: int = 64) -> None:
        self._depths = (8, 8) if small else (32, 8)
        self._options = {"classes": 100, "widths": models.WIDTHS, "size": 32}
        if small:
            self._options = {"classes": 5, "widths": (4, 4, 8, 8), "size": 8}
        self._batch = 8 if small else batch

    def pair(self) -> tuple[keras.Model, keras.Model]:
        """Returns a teacher and a student."""
        deep, shallow = self._depths
        return (
            models.resnet(deep, **self._options),
            models.resnet(shallow, **self._options),
        )

    def data(self, steps: int) -> Data:
        """Returns images of noise."""
        rng = np.random.default_rng(0)
        count, size = timing.examples(self._batch, steps), self._options["size"]
        x = rng.normal(size=(count, size, size, 3)).astype("float32")
        y = rng.integers(0, self._options["classes"], count).astype("int32")
        return Data(x, y, self._batch)

    def optimizer(self) -> keras.optimizers.Optimizer:
        """Returns the optimizer."""
        return keras.optimizers.SGD(0.01, momentum=0.9)

    def torch_optimizer(self, optim, parameters):
        """Returns the same for a plain loop."""
        return optim.SGD(parameters, 0.01, momentum=0.9)


class Text:
    """A BERT-style classifier into one of fewer layers, by Adam.

    Args:
        small: Whether everything is tiny, whatever the other arguments are.
        depths: The number of layers of the teacher and of the student.
        width: The size of the hidden states.
        heads: The number of attention heads.
        batch: The number of texts in a batch.
    """

    jit_compile: bool | str = "auto"

    def __init__(
        self,
        small: bool,
        *,
        depths: tuple[int, int] = (4, 2),
        width: int = 256,
        heads: int = 4,
        batch: int = 32,
    ) -> None:
        self._depths = (1, 1) if small else depths
        self.teacher_layer, self.student_layer = (
            f"layer_{depth}" for depth in self._depths
        )
        self._options = {
            "width": width,
            "heads": heads,
            "tokens": models.TOKENS,
            "length": 128,
        }
        if small:
            self._options = {"width": 8, "tokens": 50, "length": 6}
        self._batch = 4 if small else batch

    def pair(self) -> tuple[keras.Model, keras.Model]:
        """Returns a teacher and a student."""
        deep, shallow = self._depths
        return (
            models.text_classifier(deep, **self._options),
            models.text_classifier(shallow, **self._options),
        )

    def data(self, steps: int) -> Data:
        """Returns texts of random tokens, of any length up to the longest."""
        rng = np.random.default_rng(0)
        count = timing.examples(self._batch, steps)
        length, tokens = self._options["length"], self._options["tokens"]
        ids = rng.integers(1, tokens, (count, length)).astype("int32")
        lengths = rng.integers(length // 4, length + 1, (count, 1))
        padding = (np.arange(length) < lengths).astype("int32")
        x = {"token_ids": ids * padding, "padding_mask": padding}
        return Data(x, rng.integers(0, 2, count).astype("int32"), self._batch)

    def optimizer(self) -> keras.optimizers.Optimizer:
        """Returns the optimizer."""
        return keras.optimizers.Adam(1e-4)

    def torch_optimizer(self, optim, parameters):
        """Returns the same for a plain loop."""
        return optim.Adam(parameters, 1e-4)


class Perceptron:
    """Two dense layers into two others, by SGD."""

    jit_compile: bool | str = "auto"
    teacher_layer = student_layer = "hidden"

    def __init__(self, small: bool) -> None:
        self._width, self._batch = (4, 4) if small else (64, 32)

    def pair(self) -> tuple[keras.Model, keras.Model]:
        """Returns a teacher and a student."""
        return (
            models.dense_model(10, width=self._width),
            models.dense_model(10, width=self._width),
        )

    def data(self, steps: int) -> Data:
        """Returns vectors of noise."""
        rng = np.random.default_rng(0)
        count = timing.examples(self._batch, steps)
        x = rng.normal(size=(count, self._width)).astype("float32")
        return Data(x, rng.integers(0, 10, count).astype("int32"), self._batch)

    def optimizer(self) -> keras.optimizers.Optimizer:
        """Returns the optimizer."""
        return keras.optimizers.SGD(0.01)

    def torch_optimizer(self, optim, parameters):
        """Returns the same for a plain loop."""
        return optim.SGD(parameters, 0.01)


Task = Images | Text | Perceptron
TASKS = {"images": Images, "text": Text, "perceptron": Perceptron}


def compiled(model: keras.Model, task: Task) -> keras.Model:
    model.compile(
        task.optimizer(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=task.jit_compile,
    )
    return model


def distiller(task: Task, make, *losses) -> keras.Model:
    """Returns a compiled distiller with models of its own.

    Args:
        task: What is distilled.
        make: The class, ours or Keras's.
        *losses: The distillation losses.
    """
    teacher, student = task.pair()
    return compiled(
        make(
            teacher,
            student,
            distillation_losses=list(losses),
            student_loss_weight=STUDENT_LOSS_WEIGHT,
        ),
        task,
    )


def contenders(task: Task, steps: int) -> dict[str, Callable[[], Run]]:
    """Returns by name what can be measured, as functions that prepare it."""
    data = task.data(steps)
    ours, core = keras_dts.Distiller, keras.distillation.Distiller
    kd = keras_dts.losses.KD
    logits = keras.distillation.LogitsDistillation(
        TEMPERATURE, keras.losses.KLDivergence()
    )
    feature = keras.distillation.FeatureDistillation(
        "mse", task.teacher_layer, task.student_layer
    )

    def fit(make, *losses, callbacks=list) -> Callable[[], Run]:
        return lambda: timing.fit_step(
            distiller(task, make, *losses), data, callbacks
        )

    found = {
        ALONE: lambda: timing.fit_step(compiled(task.pair()[1], task), data),
        TEACHER: lambda: timing.forward(task.pair()[0], data),
        CONSTANT: fit(ours, kd(TEMPERATURE)),
        # Each round is one more epoch of one training.
        DTS: fit(ours, kd(), callbacks=lambda: [keras_dts.DTS(epochs=EPOCHS)]),
        CORE: fit(core, logits),
        FEATURE: fit(ours, kd(TEMPERATURE), feature),
        CORE_FEATURE: fit(core, logits, feature),
    }
    if keras.config.backend() == "torch":
        found[LOOP] = lambda: torch_loop(task, data)
    return found


def torch_loop(task: Task, data: Data) -> Run:
    """Returns a function that times a step as one writes it for PyTorch.

    Without Keras's trainer, optimizers, losses and metrics; it logs nothing.
    """
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    teacher, student = task.pair()
    parameters = [p for p in student.parameters() if p.requires_grad]
    optimizer = task.torch_optimizer(torch.optim, parameters)
    batches = [
        keras.tree.map_structure(torch.from_numpy, data.at(i))
        for i in range(timing.WARM_UP + data.steps)
    ]

    def step(x, y) -> None:
        with torch.no_grad():
            target = functional.softmax(
                teacher(x, training=False) / TEMPERATURE, dim=-1
            )
        logits = student(x, training=True)
        kd = functional.kl_div(
            functional.log_softmax(logits / TEMPERATURE, dim=-1),
            target,
            reduction="batchmean",
        )
        loss = STUDENT_LOSS_WEIGHT * functional.cross_entropy(logits, y.long())
        loss = loss + (1 - STUDENT_LOSS_WEIGHT) * TEMPERATURE**2 * kd
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def run() -> float:
        for i, batch in enumerate(batches):
            if i == timing.WARM_UP:
                start = time.perf_counter()
            step(*batch)
        parameters[-1].detach().cpu()  # waits
        return 1e3 * (time.perf_counter() - start) / data.steps

    return run


def shared_by(replicas: int) -> AbstractContextManager[object]:
    """Returns a scope whose models are trained by replicas.

    Args:
        replicas: How many; on PyTorch, as many processes must run this.
    """
    if replicas == 1:
        return nullcontext()
    backend = keras.config.backend()
    if backend == "torch":
        importlib.import_module("torch.distributed").init_process_group("gloo")
        return nullcontext()
    if backend == "jax":
        found = keras.distribution.list_devices()[:replicas]
        return keras.distribution.DataParallel(devices=found).scope()
    tf = importlib.import_module("tensorflow")
    (processor,) = tf.config.list_physical_devices("CPU")
    if tf.config.get_logical_device_configuration(processor) is None:
        parts = [tf.config.LogicalDeviceConfiguration()] * replicas
        tf.config.set_logical_device_configuration(processor, parts)
    devices = [f"CPU:{i}" for i in range(replicas)]
    return tf.distribute.MirroredStrategy(devices).scope()


def main(arguments: list[str] | None = None) -> None:
    parser = timing.arguments(__doc__)
    parser.add_argument("--task", choices=sorted(TASKS), default="images")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="lines of the table"
    )
    parser.add_argument(
        "--replicas", type=int, default=1, help="how many share each batch"
    )
    args = parser.parse_args(arguments)
    with shared_by(args.replicas):
        found = contenders(TASKS[args.task](args.small), args.steps)
        chosen = args.only or list(found)
        if unknown := set(chosen) - set(found):
            parser.error(f"--only takes {list(found)}, not {sorted(unknown)}")
        times = timing.in_turns({n: found[n]() for n in chosen}, args.rounds)
    if int(os.environ.get("RANK", "0")) > 0:
        return
    ratios = [r for r in RATIOS if {r.over, *r.base} <= set(chosen)]
    name = args.task
    if args.replicas > 1:
        name += f"-{args.replicas}-replicas"
    title = f"{name}, {timing.versions()}"
    timing.report(args.out, f"step_time-{name}", title, times, ratios)


if __name__ == "__main__":
    main()
