from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from streamcam.errors import ModelError, StreamcamError
from streamcam.models import load_model
from streamcam.options import ModelOptions
from streamcam.tf import keras


def message(error: pytest.ExceptionInfo[StreamcamError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class CustomModel(keras.Model):
    """A subclassed model, not registered."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = keras.layers.Conv2D(4, 3)
        self.dense = keras.layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(keras.ops.mean(self.conv(x), axis=(1, 2)))


def test_a_function_in_the_working_directory(workdir: Path) -> None:
    (workdir / "my_models").mkdir()
    (workdir / "my_models" / "__init__.py").write_text("")
    (workdir / "my_models" / "nets.py").write_text(
        "import keras\n"
        "def make():\n"
        "    import helper_beside\n"
        "    i = keras.Input((12, 10, 3))\n"
        "    return keras.Model(i, keras.layers.Dense(helper_beside.CLASSES)(keras.layers.Flatten()(i)))\n"
    )
    (workdir / "helper_beside.py").write_text("CLASSES = 6\n")
    path_before = list(sys.path)
    loaded = load_model(ModelOptions(model="my_models.nets:make"))
    assert (loaded.name, loaded.input_size, len(loaded.labels)) == ("my_models.nets:make", (10, 12), 6)
    assert sys.path == path_before


def test_a_subclassed_model_from_a_function(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "make_own", CustomModel, raising=False)
    loaded = load_model(ModelOptions(model=f"{__name__}:make_own"))
    assert (loaded.input_size, len(loaded.labels), loaded.accepts_any_size) == ((224, 224), 3, False)
    assert loaded.notes[0].startswith("input size unknown for ")
    assert loaded.model.built


def test_a_sequential_model_that_was_never_built(workdir: Path) -> None:
    (workdir / "lazy_net.py").write_text(
        "import keras\n"
        "def make():\n"
        "    return keras.Sequential([keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(5)])\n"
    )
    loaded = load_model(ModelOptions(model="lazy_net:make"))
    assert (loaded.input_size, len(loaded.labels)) == ((224, 224), 5)


@pytest.mark.parametrize(
    ("source", "function", "expected"),
    [
        ("def make(): raise ValueError('too\\nbad')", "make", "failed: ValueError: too"),
        ("def make(): raise SystemExit(3)", "make", "failed: SystemExit: 3"),
        ("def make(size): pass", "make", "failed: TypeError: make() missing 1 required positional argument"),
        ("def make(): return {'a': 1}", "make", "returned a dict; expected a keras.Model of Keras 3"),
        ("def make(): pass", "mak", "has no function 'mak'; did you mean 'make'?"),
        ("make = 3", "make", "has no function 'make'"),
        ("1 / 0", "make", "cannot be imported: ZeroDivisionError: division by zero"),
        ("def make(:", "make", "cannot be imported: SyntaxError: "),
        ("import no_such_dependency", "make", "cannot be imported: No module named 'no_such_dependency'"),
    ],
)
def test_functions_that_fail(
    workdir: Path, request: pytest.FixtureRequest, source: str, function: str, expected: str
) -> None:
    module = f"failing_{abs(hash(request.node.name))}"
    (workdir / f"{module}.py").write_text(source)
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=f"{module}:{function}"))
    assert expected in message(caught)


def test_a_missing_module(workdir: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model="no_such_package.inner:make"))
    assert "no module no_such_package; expected an installed module or one in the working directory" in message(caught)


def test_a_subclassed_model_that_cannot_run(workdir: Path) -> None:
    (workdir / "broken_net.py").write_text(
        "import keras\nclass Net(keras.Model):\n    def call(self, x):\n        raise RuntimeError('no luck')\n"
    )
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model="broken_net:Net"))
    assert "broken_net:Net does not accept an image of 224x224: RuntimeError: no luck" in message(caught)
