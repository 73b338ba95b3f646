"""The cost of the training callback: its share of an epoch, and memory over 200 epochs.

python benchmarks/training.py [--epochs 12] [--memory-epochs 200]

Writes the section "Training callback" of RESULTS.md. Each run is a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import format_median, log_progress, machine_summary, measure, table, write_section

SIDE, IMAGES, BATCH = 96, 4096, 32
MEMORY_SIDE, MEMORY_IMAGES = 32, 64
SHARE = 0.05
FIRST = 20


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what ExplainCallback costs.")
    parser.add_argument("--epochs", type=int, default=12, help="epochs that are timed")
    parser.add_argument("--memory-epochs", type=int, default=200)
    parser.add_argument("--child", nargs=2, help="used by the benchmark itself: the kind of run, and its loggers")
    options = parser.parse_args()
    if options.memory_epochs < FIRST + 2:
        parser.error(f"--memory-epochs: {FIRST + 2} or more, as the slope begins at epoch {FIRST}")
    if options.child:
        kind, loggers = options.child
        epochs = options.epochs if kind == "time" else options.memory_epochs
        print(json.dumps({"time": time_run, "memory": memory_run}[kind](loggers.split(","), epochs)))
        return
    common = [sys.executable, __file__, "--epochs", options.epochs, "--memory-epochs", options.memory_epochs, "--child"]
    times, memory = {}, {}
    for loggers in ("folder", "tensorboard", "folder,tensorboard"):
        times[loggers] = measure([*map(str, common), "time", loggers]).report
        log_progress(f"{loggers}: {statistics.median(times[loggers]['shares']):.1%}")
    for loggers in ("none", "folder,tensorboard"):
        memory[loggers] = measure([*map(str, common), "memory", loggers]).report
        log_progress(f"{loggers}: {memory[loggers]['slope']:.1f} KiB an epoch")
    text = report(times, memory, options.epochs)
    print(text)
    write_section("training", text)


def small_model(side: int) -> Any:
    """Return a small CNN of four convolutions."""
    from streamcam.tf import keras

    keras.utils.set_random_seed(0)
    layers: list[Any] = [keras.Input((side, side, 3)), keras.layers.Rescaling(1 / 255)]
    for width in (16, 32, 64, 128):
        layers += [keras.layers.Conv2D(width, 3, padding="same", activation="relu"), keras.layers.MaxPooling2D()]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def blobs(count: int, side: int) -> tuple[Any, Any]:
    """Smooth random images; the brightest corner is the class."""
    import numpy as np

    rng = np.random.default_rng(0)
    classes = rng.integers(0, 4, count)
    rows, columns = np.mgrid[:side, :side] / side
    x = np.empty((count, side, side, 3), np.float32)
    for n, c in enumerate(classes):
        distance = (rows - (c // 2)) ** 2 + (columns - (c % 2)) ** 2
        x[n] = 60 + 120 * np.exp(-8 * distance)[..., None] * rng.random(3) + rng.normal(0, 8, (side, side, 1))
    return np.clip(x, 0, 255), classes


def make_callback(loggers: list[str], x: Any, y: Any, folder: Path) -> Any:
    """Return a callback that counts the seconds of its own work."""
    from streamcam.training import ExplainCallback

    class Timed(ExplainCallback):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.seconds: list[float] = []
            self.start_seconds = 0.0

        def on_train_begin(self, logs: Any = None) -> None:
            started = time.perf_counter()
            super().on_train_begin(logs)
            self.start_seconds += time.perf_counter() - started

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            started = time.perf_counter()
            super().on_epoch_begin(epoch, logs)
            if not self.seconds:
                self.start_seconds += time.perf_counter() - started

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            started = time.perf_counter()
            super().on_epoch_end(epoch, logs)
            self.seconds.append(time.perf_counter() - started)

    names = [f"{name}:{folder / name}" for name in loggers]
    return Timed((x[:16], y[:16]), loggers=names, regions={"corner": (0, 0, 0.25, 0.25)})


def time_run(loggers: list[str], epochs: int) -> dict[str, Any]:
    """Return the seconds of each epoch, and of the callback in it; the first epoch, which traces, is left out."""
    x, y = blobs(IMAGES, SIDE)
    model = small_model(SIDE)
    with tempfile.TemporaryDirectory() as folder:
        callback = make_callback(loggers, x, y, Path(folder))
        ends: list[float] = []
        from streamcam.tf import keras

        clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
        model.fit(x, y, batch_size=BATCH, epochs=epochs + 1, verbose=0, callbacks=[callback, clock])
        assert not callback.failures, callback.failures
    whole = [end - start for start, end in itertools.pairwise(ends)]
    own = callback.seconds[1:]
    shares = [part / (all_ - part) for part, all_ in zip(own, whole, strict=True)]
    return {"shares": shares, "own": own, "whole": whole, "start": callback.start_seconds}


def memory_run(loggers: list[str], epochs: int) -> dict[str, Any]:
    """Return resident memory after each epoch, and the slope from epoch 20 on, in KiB an epoch."""
    import numpy as np

    from streamcam.tf import keras

    x, y = blobs(MEMORY_IMAGES, MEMORY_SIDE)
    model = small_model(MEMORY_SIDE)
    rss: list[float] = []

    def note(epoch: int, logs: Any) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        rss.append(pages * 4096 / 2**20)

    with tempfile.TemporaryDirectory() as folder:
        callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=note)]
        if loggers != ["none"]:
            callbacks.insert(0, make_callback(loggers, x, y, Path(folder)))
        model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=callbacks)
    later = np.array(rss[FIRST:])
    slope = float(np.polyfit(np.arange(len(later)), later, 1)[0]) * 1024
    return {"slope": slope, "first": rss[FIRST], "last": rss[-1], "epochs": epochs}


def report(times: dict[str, Any], memory: dict[str, Any], epochs: int) -> str:
    """Format the section."""
    rows = [
        (
            f"`{name}`",
            format_median(run["whole"], 2),
            format_median([1000 * one for one in run["own"]], 0),
            format_median([100 * one for one in run["shares"]], 1),
            f"{run['start']:.1f}",
        )
        for name, run in times.items()
    ]
    memory_rows = [
        ("with" if name != "none" else "without", f"{run['first']:,.0f}", f"{run['last']:,.0f}", f"{run['slope']:+.1f}")
        for name, run in memory.items()
    ]
    head = ("loggers", "epoch, s", "callback, ms", "share of the rest of the epoch, %", "once at the start, s")
    return "\n\n".join(
        (
            "## Training callback",
            f"`ExplainCallback` with gradcam on 16 images, a region and all images logged, beside a CNN of four "
            f"convolutions on {IMAGES:,} images of {SIDE}x{SIDE}, batches of {BATCH}; {epochs} epochs after the first. "
            "Medians, smallest and largest in brackets. Made by `make bench-training`.",
            f"Machine: {machine_summary()}.",
            table(head, rows),
            f"Wanted: a share of at most {SHARE:.0%}. Resident memory after epoch {FIRST + 1} and the last of "
            f"{memory['none']['epochs']}, of a training with and without the callback (both loggers):",
            table(("callback", f"MiB, epoch {FIRST + 1}", "MiB, last", "slope, KiB an epoch"), memory_rows),
        )
    )


if __name__ == "__main__":
    main()
