"""Files that the documentation's examples name: short clips, a photo, models."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

from .blocks import ROOT

WIDTH, HEIGHT, FRAMES, RATE = 160, 90, 2, 25

_ZOO = '''
"""A nested model with a layer of the name that examples use."""

import keras
from keras import layers


def make_model():
    inner = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=8, activation="relu", name="conv5_block3_out")(inner)
    backbone = keras.Model(inner, x, name="backbone")
    image = keras.Input((64, 64, 3))
    x = layers.GlobalAveragePooling2D()(backbone(image))
    return keras.Model(image, layers.Dense(3, activation="softmax")(x), name="zoo")
'''


def make_files(folder: Path) -> Path:
    """Create the files in a folder and return it."""
    clip = folder / "holiday.mp4"
    _cut(ROOT / "samples" / "samoyed_640_nogps.mp4", clip)
    (folder / "clips").mkdir()
    for copy in ("input.mp4", "clips/one.mp4", "clips/two.mp4"):
        shutil.copy(clip, folder / copy)
    (folder / "samples").mkdir()
    _cut(ROOT / "samples" / "cockatoo.mp4", folder / "samples" / "cockatoo.mp4")
    for name in ("chelsea.png", "coffee.png"):
        shutil.copy(ROOT / "samples" / name, folder / "samples" / name)
    with Image.open(ROOT / "samples" / "chelsea.png") as image:
        image.convert("RGB").resize((225, 150)).save(folder / "photo.jpg")
    shutil.copy(folder / "photo.jpg", folder / "cat.jpg")
    for name in ("flowers/rose", "flowers/tulip", "checked/rose", "checked/tulip"):
        (folder / name).mkdir(parents=True)
        shutil.copy(folder / "photo.jpg", folder / name / "1.jpg")
    (folder / "classes.txt").write_text("cat\ndog\nother\n")
    (folder / "mypackage").mkdir()
    (folder / "mypackage" / "__init__.py").write_text("")
    (folder / "mypackage" / "zoo.py").write_text(_ZOO)
    _make_models(folder)
    return folder


def _make_models(folder: Path) -> None:
    import keras
    from keras import layers

    image = keras.Input((48, 48, 3), name="image")
    x = layers.Conv2D(4, 3, strides=4, activation="relu")(image)
    pooled = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(3, activation="softmax")(pooled), name="mine")
    model.save(folder / "mine.keras")
    model.save(folder / "shapes.keras")
    model.export(folder / "exported_savedmodel", verbose=False)
    age = keras.Input((1,), name="age")
    joined = layers.Concatenate()([pooled, age])
    keras.Model([image, age], layers.Dense(3, activation="softmax")(joined), name="two_inputs").save(
        folder / "two_inputs.keras"
    )


def _cut(source: Path, path: Path) -> None:
    """Write the first frames of a clip, scaled down."""
    with av.open(str(source)) as container, av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, frame in enumerate(container.decode(video=0)):
            if number == FRAMES:
                break
            scaled = frame.reformat(WIDTH, HEIGHT, "yuv420p")
            scaled.pts, scaled.time_base = number, Fraction(1, RATE)
            output.mux(stream.encode(scaled))
        output.mux(stream.encode(None))
