"""The allow-list: each refusal is of an operation that does harm, and graphs that compute pass."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.errors import ModelError
from streamcam.models import load_model
from streamcam.models.graph_operations import is_allowed, refused_operation
from streamcam.options import ModelOptions
from streamcam.tf import keras, tf

IMAGES = tf.TensorSpec((None, 8, 8, 3), tf.float32)

HARMFUL = [
    *("WriteFile", "ReadFile", "MatchingFiles", "Save", "SaveV2", "Restore", "RestoreV2", "MergeV2Checkpoints"),
    *("PyFunc", "PyFuncStateless", "EagerPyFunc", "Print", "PrintV2", "Abort", "ImmutableConst", "RemoteCall"),
    *("DebugIdentity", "DebugIdentityV2", "DebugNanCount", "Copy", "CopyHost", "DumpTensor", "DecodeProtoV2"),
    *("TFRecordDataset", "TextLineDataset", "FixedLengthRecordDataset", "SqlDataset", "SaveDataset", "LoadDataset"),
    *("TFRecordReaderV2", "WholeFileReaderV2", "SnapshotDatasetV2", "CacheDataset", "GeneratorDataset", "MapDataset"),
    *("RpcClient", "RpcCall", "RpcServer", "DataServiceDatasetV4", "Send", "Recv", "CollectiveReduceV2"),
    *("InitializeTableFromTextFileV2", "WriteSummary", "CreateSummaryFileWriter", "XlaCustomCall", "XlaCallModule"),
    *("FileSystemSetConfiguration", "LoadAndRemapMatrix", "MlirPassthroughOp", "FIFOQueueV2", "_FusedConv2D"),
    *("BatchFunction", "GenerateVocabRemapping", "NoSuchOperation", ""),
]
COMPUTING = [
    *("Conv2D", "DepthwiseConv2dNative", "MatMul", "Einsum", "FusedBatchNormV3", "Relu", "Softmax", "MaxPool", "Mean"),
    *("Const", "Placeholder", "Identity", "StatefulPartitionedCall", "StatelessIf", "While", "ReadVariableOp"),
    *(
        "StatelessRandomUniformV2",
        "RandomUniform",
        "TensorListReserve",
        "Assert",
        "ResizeBilinear",
        "Conv2DBackpropInput",
    ),
]


@pytest.mark.parametrize("operation", HARMFUL)
def test_operations_that_reach_beyond_the_graph_are_refused(operation: str) -> None:
    assert not is_allowed(operation)


@pytest.mark.parametrize("operation", COMPUTING)
def test_operations_that_compute_are_allowed(operation: str) -> None:
    assert is_allowed(operation)


class Hostile(tf.Module):
    """A classifier whose signature does something else, too."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.ones((3, 4)))
        self.run = tf.function(lambda images: {"scores": self._scores(images, act)}, input_signature=[IMAGES])

    def _scores(self, images: Any, act: Callable[[Any], Any]) -> Any:
        with tf.control_dependencies([act(images)]):
            return tf.reduce_mean(images, axis=(1, 2)) @ self.kernel


def save(module: tf.Module, path: Path) -> Path:
    tf.saved_model.save(module, str(path), {"serving_default": module.run})
    return path


def test_a_saved_model_that_writes_a_file_is_refused_before_it_runs(tmp_path: Path) -> None:
    stolen = tmp_path / "written"
    folder = save(Hostile(lambda _: tf.io.write_file(str(stolen), "x")), tmp_path / "net")
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=str(folder)))
    assert "contains the operation WriteFile (node " in str(caught.value)
    assert "--trust-model" in str(caught.value)
    assert not stolen.exists()
    trusted = load_model(ModelOptions(model=str(folder), trust_model=True))
    trusted.call(np.zeros((1, 8, 8, 3), np.float32))
    assert stolen.read_text() == "x"  # it was a real attack


def branch(images: Any) -> Any:
    """Read a file in a branch that this input does not take."""
    hidden = lambda: tf.strings.length(tf.io.read_file("/etc/hostname"))  # noqa: E731
    return tf.cond(tf.reduce_sum(images) > 1e9, hidden, lambda: 0)


@pytest.mark.parametrize(
    ("act", "operation"),
    [
        (branch, "ReadFile"),
        (lambda images: tf.py_function(lambda x: x, [images], tf.float32), "EagerPyFunc"),
        (lambda images: tf.print(images, output_stream="file:///tmp/never-written"), "PrintV2"),
        (
            lambda _: next(iter(tf.data.TextLineDataset("x").batch(1).take(1))),
            "(TextLine|TensorSlice)Dataset",
        ),  # either is first
    ],
    ids=["in a branch", "Python", "print", "data set"],
)
def test_the_refused_operation_is_named(tmp_path: Path, act: Callable[[Any], Any], operation: str) -> None:
    folder = save(Hostile(act), tmp_path / "net")
    with pytest.raises(ModelError, match=f"contains the operation {operation}"):
        load_model(ModelOptions(model=str(folder)))


def change(folder: Path, edit: Callable[[Any], None]) -> None:
    proto = tf.__internal__.saved_model.parse_saved_model(str(folder))
    edit(proto.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(proto.SerializeToString())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(Hostile(tf.identity), tmp_path_factory.mktemp("saved") / "net")


@pytest.fixture
def folder(plain: Path, tmp_path: Path) -> Path:
    return shutil.copytree(plain, tmp_path / "net")


def test_a_function_of_the_checkpoint_counts_only_if_nothing_else_calls_it(folder: Path) -> None:
    load_model(ModelOptions(model=str(folder)))  # has SaveV2 and RestoreV2 for its own checkpoint

    def call_it(meta_graph: Any) -> None:
        functions = meta_graph.graph_def.library.function
        saving = next(one for one in functions if any(node.op == "SaveV2" for node in one.node_def))
        other = next(one for one in functions if "run" in one.signature.name or "lambda" in one.signature.name)
        other.node_def.add(name="call", op="PartitionedCall").attr["f"].func.name = saving.signature.name

    change(folder, call_it)
    with pytest.raises(ModelError, match=r"contains the operation \w+ \(node \w+ of function __inference__traced_save"):
        load_model(ModelOptions(model=str(folder)))


def test_the_checkpoint_functions_may_not_do_anything_else(folder: Path) -> None:
    def write(meta_graph: Any) -> None:
        functions = meta_graph.graph_def.library.function
        saving = next(one for one in functions if any(node.op == "SaveV2" for node in one.node_def))
        saving.node_def.add(name="x", op="WriteFile")

    change(folder, write)
    with pytest.raises(ModelError, match=r"contains the operation WriteFile \(node x of function"):
        load_model(ModelOptions(model=str(folder)))


def test_a_graph_of_tensorflow_1_is_not_run_for_its_checkpoint(folder: Path) -> None:
    change(folder, lambda meta_graph: meta_graph.ClearField("object_graph_def"))
    with pytest.raises(ModelError, match="contains the operation"):
        load_model(ModelOptions(model=str(folder)))


def test_an_operation_in_a_list_of_functions_is_found() -> None:
    graph_def = tf.compat.v1.GraphDef()
    graph_def.node.add(name="case", op="StatelessCase").attr["branches"].list.func.add(name="WriteFile")
    assert refused_operation(graph_def) == "WriteFile (node case)"


def test_python_code_in_a_keras_file_runs_only_if_trusted(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(inputs))
    doubled = keras.layers.Lambda(lambda x: 2.0 * x, output_shape=(2,))(pooled)
    path = tmp_path / "model.keras"
    keras.Model(inputs, doubled).save(path)
    with pytest.raises(ModelError, match=r"contains Python code .*--trust-model"):
        load_model(ModelOptions(model=str(path)))
    assert load_model(ModelOptions(model=str(path), trust_model=True)).labels == ("class 0", "class 1")


def test_another_saved_model_inside_a_keras_file_is_not_loaded(plain: Path, tmp_path: Path) -> None:
    layer = keras.layers.TFSMLayer(str(plain), call_endpoint="serving_default")
    inputs = keras.Input((8, 8, 3))
    path = tmp_path / "model.keras"
    keras.Model(inputs, layer(inputs)).save(path)
    with pytest.raises(ModelError, match="contains a TFSMLayer, which loads another SavedModel"):
        load_model(ModelOptions(model=str(path)))


# Exports for training


def test_an_export_with_augmentation_computes_as_without_training(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((12, 16, 3))
    x = layers.RandomZoom(0.2)(layers.RandomRotation(0.2)(layers.RandomFlip()(inputs)))
    x = layers.RandomTranslation(0.1, 0.1)(x)
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(x))
    model = keras.Model(inputs, layers.Dense(5, activation="softmax")(x))
    model.export(tmp_path / "net", verbose=False)
    images = np.random.default_rng(3).uniform(0, 1, (6, 12, 16, 3)).astype(np.float32)
    loaded = load_model(ModelOptions(model=str(tmp_path / "net")))
    expected = np.asarray(model(images, training=False))
    first, second = np.asarray(loaded.call(images)), np.asarray(loaded.call(images))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, expected, atol=1e-3)
    assert np.abs(np.asarray(loaded.call(images[:, ::-1])) - expected).max() > 0.02  # a flip would show
    assert any("exported with random augmentation" in note for note in loaded.notes)


class Sampling(tf.Module):
    """A model that draws random numbers behind its weights and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32))
        self.seed = tf.Variable([7, 0], dtype=tf.int64)

    @tf.function(input_signature=[IMAGES])
    def run(self, images: Any) -> Any:
        seed = self.seed + 0
        self.seed.assign_add([0, 1])
        scores = tf.reduce_mean(images, axis=(1, 2)) @ self.kernel
        mask = tf.cast(tf.random.stateless_uniform(tf.shape(scores), seed) >= 0.5, tf.float32)
        return {"scores": scores * mask}


def test_random_numbers_behind_the_weights_stay_random_with_a_fixed_seed(tmp_path: Path) -> None:
    module = Sampling()
    tf.saved_model.save(module, str(tmp_path / "net"), {"serving_default": module.run})
    loaded = load_model(ModelOptions(model=str(tmp_path / "net")))
    images = np.ones((8, 8, 8, 3), np.float32)
    scores = np.asarray(loaded.call(images))
    assert 0 < (scores == 0).mean() < 1
    np.testing.assert_array_equal(scores, np.asarray(loaded.call(images)))
    assert not any("augmentation" in note for note in loaded.notes)


# Files of other frameworks


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("net.pt", "is a PyTorch file; expected a .keras or .h5 file .*; convert it: torch.onnx.export.*onnx2tf"),
        ("NET.PTH", "is a PyTorch file"),
        ("net.onnx", "is an ONNX file; .*; convert it: onnx2tf -i model.onnx -o FOLDER, then --model FOLDER"),
        ("net.tflite", "is a LiteRT .* has no gradients; .*; convert it: model.export"),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_files_of_other_frameworks(tmp_path: Path, name: str, expected: str, *, exists: bool) -> None:
    if exists:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=expected) as caught:
        load_model(ModelOptions(model=str(tmp_path / name)))
    assert "\n" not in str(caught.value)
