"""Python processes that a test starts together, and that it always ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import (
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    ThreadPoolExecutor,
    wait,
)
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATH = (ROOT, ROOT / "tests" / "support", ROOT / "tests" / "distributed")


def free_port():
    """Returns a port of this machine that nothing listens at."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def workers(count):
    """Returns the environments of TensorFlow's workers that train together."""
    addresses = [f"localhost:{free_port()}" for _ in range(count)]
    configs = [
        {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }
        for index in range(count)
    ]
    return [{"TF_CONFIG": json.dumps(config)} for config in configs]


@contextlib.contextmanager
def started(arguments, environments):
    """Starts processes, and ends them; as many threads may wait for them."""
    with contextlib.ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(len(environments)))
        processes = []
        for added in environments:
            processes.append(Process(arguments, added))
            stack.callback(processes[-1].end)
        yield threads, processes


def run_together(arguments, environments, timeout=120):
    """Runs Python once for each environment, all at the same time.

    All end, with the processes that they started, as soon as one fails or the
    time is over.

    Args:
        arguments: What follows `python` on the command line.
        environments: For each process, what is added to this environment. A
            value of `None` removes a variable.
        timeout: The seconds that they have together.

    Returns:
        What each process printed.

    Raises:
        AssertionError: If one fails, with the end of what it wrote.
    """
    with started(arguments, environments) as (threads, processes):
        runs = [threads.submit(process.wait) for process in processes]
        ended, late = wait(runs, timeout, return_when=FIRST_EXCEPTION)
        failures = [run.exception() for run in ended if run.exception()]
        written = "\n".join(process.errors for process in processes)
    assert failures or not late, f"more than {timeout} seconds: {written}"
    assert not failures, failures[0]
    return [run.result() for run in runs]


def run_to_their_ends(arguments, environments, timeout=120, after=30):
    """Runs Python once for each environment, all at the same time.

    None ends because another one does.

    Args:
        arguments: What follows `python` on the command line.
        environments: As for `run_together`.
        timeout: The seconds that the first one to end has.
        after: The seconds that the others have from then on.

    Returns:
        The exit code of each process, and the end of its error output.

    Raises:
        AssertionError: If one has not ended in time.
    """
    with started(arguments, environments) as (threads, processes):
        runs = [threads.submit(process.code) for process in processes]
        ended, late = wait(runs, timeout, return_when=FIRST_COMPLETED)
        assert ended, f"none has ended in {timeout} seconds"
        _, late = wait(late, after)
        errors = [process.errors for process in processes]
        assert not late, f"more than {after} seconds later: {errors}"
    return [
        (run.result(), text) for run, text in zip(runs, errors, strict=True)
    ]


class Process:
    """One of the processes, and what it wrote."""

    def __init__(self, arguments, added):
        environment = {**os.environ, **added}
        path = [*PATH, *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name, n) for n in ("out", "errors")]
        with self._files[0].open("w") as out, self._files[1].open("w") as err:
            self._process = subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                env={k: v for k, v in environment.items() if v is not None},
                stdout=out,
                stderr=err,
                start_new_session=True,  # so that what it starts ends with it
            )

    def wait(self):
        """Waits until it ends by itself, and returns what it printed."""
        code = self.code()
        assert code == 0, f"a process ended with {code}: {self.errors}"
        return self._files[0].read_text()

    def code(self):
        """Waits until it ends by itself, and returns its exit code."""
        code = self._process.wait()
        self._end_group()
        return code

    @property
    def errors(self):
        """The end of its error output."""
        return self._files[1].read_text()[-4000:]

    def end(self):
        """Ends it, if it runs, and what it started."""
        if self._process.poll() is None:
            self._end_group()
            self._process.wait()
        self._folder.cleanup()

    def _end_group(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
