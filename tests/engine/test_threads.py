"""One model of Keras that several threads use at a time."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import streamcam
from streamcam.engine.graph.layer_trace import layer_paths, record_layer_calls
from streamcam.models import load_model
from streamcam.options import ModelOptions
from streamcam.tf import keras

from . import models
from .models import CLASSES, HEIGHT, WIDTH
from .test_compiled_method import random_images, scale

THREADS = 4


def explain_frames(model: Any) -> Any:
    explainer = streamcam.Explainer(model, preprocess=scale, precision="float32", target=1)
    return explainer.explain(random_images(2)).maps


def test_one_model_is_explained_from_several_threads_while_another_calls_it() -> None:
    model = models.nested_model()
    alone = explain_frames(model)
    images = scale(random_images(2).astype(np.float32))
    answer = np.asarray(model(images))
    together, done = threading.Barrier(THREADS + 1), threading.Event()

    def explain(_: int) -> Any:
        together.wait()
        return [explain_frames(model) for _ in range(2)]

    def serve() -> Any:
        together.wait()
        answers = [np.asarray(model(images))]
        while not done.is_set():
            answers.append(np.asarray(model(images)))
        return answers

    with ThreadPoolExecutor(THREADS + 1) as pool:
        served = pool.submit(serve)
        try:
            found = [maps for both in pool.map(explain, range(THREADS)) for maps in both]
        finally:
            done.set()
    for maps in found:
        np.testing.assert_allclose(maps, alone, atol=1e-6)
    for given in served.result():
        np.testing.assert_allclose(given, answer, atol=1e-6)
    assert not [layer for layer in layer_paths(model).values() if "call" in layer.__dict__]


def test_calls_of_other_threads_are_not_recorded() -> None:
    model = models.functional()
    images = scale(random_images(1).astype(np.float32))
    with record_layer_calls(layer_paths(model)) as calls, ThreadPoolExecutor(1) as pool:
        pool.submit(model, images).result()
        assert not calls
        model(images)
    assert [call.path for call in calls][-1] == "predictions"


def test_a_model_without_weights_yet_is_built_once_for_all_threads() -> None:
    built: list[str] = []
    inside = threading.Barrier(THREADS)

    class Counting(keras.layers.Dense):
        def build(self, shape: Any) -> None:
            built.append(self.name)
            with contextlib.suppress(threading.BrokenBarrierError):
                inside.wait(timeout=0.2)  # gives the others the time to come in as well
            super().build(shape)

    class Unbuilt(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = keras.layers.Conv2D(4, 3, strides=4, activation="relu")
            self.predictions = Counting(CLASSES)

        def call(self, inputs: Any) -> Any:
            return self.predictions(keras.ops.mean(self.convolution(inputs), axis=(1, 2)))

    model, together = Unbuilt(), threading.Barrier(THREADS)

    def make(_: int) -> Any:
        together.wait()
        return load_model(ModelOptions(model=model))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(make, range(THREADS)))
    assert len(built) == 1
    assert model(np.zeros((1, HEIGHT, WIDTH, 3), np.float32)).shape == (1, CLASSES)
