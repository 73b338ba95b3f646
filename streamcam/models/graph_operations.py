"""Allow-list of graph operations: what a graph of unknown origin may do.

A graph is a program. Operations of TensorFlow read and write files, open connections, call Python, stop the process
and load code. A graph may use an operation only if

- TensorFlow registers it as free of state, all its inputs and outputs are tensors of numbers (or of any type), and
  none of its attributes is free text, such as a path or an address; or
- `_ALLOWED` names it, with the reason.

Free text matters because some operations with files or side effects count as free of state: ``ImmutableConst`` maps a
file, ``DebugIdentity`` writes one, ``DecodeProtoV2`` reads one, ``Abort`` ends the process, and ``XlaCustomCall`` and
``PyFuncStateless`` call code. Functions of the graph's library count as allowed: their own operations are checked.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ..tf import op_def_registry, tf

_ALLOWED: dict[str, tuple[str, ...]] = {
    "variables, in memory": (
        *("VarHandleOp", "ReadVariableOp", "AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"),
        *("VarIsInitializedOp", "DestroyResourceOp", "DisableCopyOnRead", "VariableShape"),
        *("ResourceGather", "ResourceGatherNd", "ResourceStridedSliceAssign", "ResourceScatterAdd"),
        *("ResourceScatterUpdate", "ResourceScatterNdUpdate", "ResourceScatterNdAdd"),
    ),
    "calls and control flow; the functions are checked, too": (
        *("PartitionedCall", "StatefulPartitionedCall", "If", "While", "Case", "Enter"),
        *("DeviceIndex",),  # which branch of a Case fits the device
    ),
    "tensor arrays, lists, stacks and ragged tensors, in memory": (
        *("TensorArrayV3", "TensorArrayReadV3", "TensorArrayWriteV3", "TensorArrayGatherV3", "TensorArrayScatterV3"),
        *("TensorArraySizeV3", "TensorArrayCloseV3", "TensorArrayConcatV3", "TensorArraySplitV3", "TensorArrayGradV3"),
        *("EmptyTensorList", "TensorListReserve", "TensorListFromTensor", "TensorListStack", "TensorListGetItem"),
        *("TensorListSetItem", "TensorListPushBack", "TensorListPopBack", "TensorListLength", "TensorListGather"),
        *("TensorListElementShape", "TensorListConcatV2", "TensorListConcatLists", "TensorListResize"),
        *("TensorListScatterV2", "TensorListSplit", "StackV2", "StackPushV2", "StackPopV2"),
        *("RaggedTensorToVariant", "RaggedTensorFromVariant", "RaggedTensorToTensor"),
        *("OptionalFromValue", "OptionalGetValue", "OptionalHasValue", "OptionalNone"),
    ),
    "random numbers": (
        *("RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal", "RandomShuffle"),
        *("Multinomial", "RandomGamma", "StatelessRandomGetAlg", "RngSkip", "RngReadAndSkip", "StatefulUniform"),
        *("StatefulUniformInt", "StatefulStandardNormalV2", "StatefulTruncatedNormal"),
        *("SampleDistortedBoundingBoxV2",),
    ),
    "lookup tables, in memory": (
        *("HashTableV2", "MutableHashTableV2", "LookupTableFindV2", "LookupTableImportV2", "LookupTableExportV2"),
        *("LookupTableInsertV2", "LookupTableSizeV2", "InitializeTableV2", "AnonymousHashTable"),
    ),
    "checks; they can only fail": ("Assert", "CheckNumerics", "CheckNumericsV2", "PreventGradient"),
    "known to be constant": ("GuaranteeConst",),
    "the text is a formula or the name of a mode": (
        *("Einsum", "DataFormatDimMap", "DataFormatVecPermute", "ImageProjectiveTransformV2"),
        *("ImageProjectiveTransformV3", "ScaleAndTranslate", "ScaleAndTranslateGrad", "ExtractGlimpse"),
        *("ExtractGlimpseV2", "GatherNd", "ScatterNd", "ScatterNdNonAliasingAdd", "TensorScatterAdd"),
        *("TensorScatterSub", "TensorScatterMin", "TensorScatterMax", "TensorScatterUpdate"),
    ),
    "text and encoded images, in memory": (
        *("AsString", "StringJoin", "StringLower", "StringUpper", "StringLength", "StringStrip", "StringFormat"),
        *("StringSplitV2", "StringToNumber", "StringToHashBucketFast", "Substr", "ReduceJoin", "RegexReplace"),
        *("StaticRegexReplace", "StaticRegexFullMatch", "RegexFullMatch", "DecodeBase64", "EncodeBase64"),
        *("DecodeRaw", "DecodeJpeg", "DecodePng", "DecodeBmp", "DecodeGif", "DecodeImage", "DecodeAndCropJpeg"),
        *("ExtractJpegShape", "ParseExampleV2", "ParseSingleExample"),
    ),
}
"""Allowed operations that the rule would refuse, by reason."""

_NAMED = frozenset(name for names in _ALLOWED.values() for name in names)

CHECKPOINT_OPERATIONS = frozenset(("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"))
"""Operations that read and write checkpoints; a SavedModel has functions with them that are never called."""


def refused_operation(
    graph_def: Any, *, extra: Collection[str] = (), extra_in: Collection[str] = (), skipped_nodes: Collection[str] = ()
) -> str:
    """Return the first operation outside the allow-list, with its place: ``WriteFile (node x)``; empty if none.

    Args:
        graph_def: a `GraphDef`.
        extra: operations allowed in the functions ``extra_in``.
        extra_in: names of functions of the library.
        skipped_nodes: names of nodes outside functions that never run.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    found = _first_refused((node for node in graph_def.node if node.name not in skipped_nodes), functions, ())
    if found:
        return f"{found[0]} (node {found[1]})"
    for function in graph_def.library.function:
        allowed = extra if function.signature.name in extra_in else ()
        if found := _first_refused(function.node_def, functions, allowed):
            return f"{found[0]} (node {found[1]} of function {function.signature.name})"
    return ""


def called_functions(node: Any) -> Iterator[str]:
    """Yield the names of the functions that a node calls.

    Args:
        node: a `NodeDef`.
    """
    yield node.op  # a call may have the function's name as its operation
    for attribute in node.attr.values():
        kind = attribute.WhichOneof("value")
        if kind == "func":
            yield attribute.func.name
        elif kind == "list":
            yield from (one.name for one in attribute.list.func)


def _first_refused(nodes: Iterable[Any], functions: set[str], extra: Collection[str]) -> tuple[str, str] | None:
    for node in nodes:
        for operation in called_functions(node):
            if operation not in functions and operation not in extra and not is_allowed(operation):
                return operation, node.name
    return None


@functools.cache
def is_allowed(operation: str) -> bool:
    """Return True if the allow-list contains an operation.

    Args:
        operation: its name, such as ``Conv2D``.
    """
    if operation in _NAMED:
        return True
    definition = op_def_registry.get(operation)
    # An underscore marks operations that only TensorFlow itself inserts.
    if definition is None or definition.is_stateful or operation.startswith("_"):
        return False
    arguments = (*definition.input_arg, *definition.output_arg)
    if any(argument.is_ref or argument.type in _other_types() for argument in arguments):
        return False
    texts = (one for one in definition.attr if one.type in ("string", "list(string)"))
    return all(one.HasField("allowed_values") for one in texts)


@functools.cache
def _other_types() -> frozenset[int]:
    """Return the types that are no numbers: text, handles, and objects such as data sets."""
    return frozenset(kind.as_datatype_enum for kind in (tf.string, tf.resource, tf.variant))
