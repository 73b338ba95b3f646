"""Jobs: all options of a run, built from flat options, and as JSON.

`Job` and `LiveJob` join the option objects. `options_to_dict` and `options_from_dict` are the one serialisation:
worker processes, benchmarks and the keys of the compile cache use it.
"""

from __future__ import annotations

import os
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, Union, Unpack, get_args, get_origin

from .errors import OptionError, did_you_mean, redact_url
from .keywords import FramesKeywords, JobKeywords
from .option_fields import Help, check_options, option_fields
from .options import (
    POSITIVE,
    SCALE_RANGE,
    CameraOptions,
    DrawOptions,
    ExplainOptions,
    ModelOptions,
    OutputOptions,
    RecordOptions,
    Scale,
    ServerOptions,
    SinkOptions,
    SourceOptions,
    TemporalOptions,
    distinct_targets,
    normalize_targets,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One input and its output."""

    source: SourceOptions
    sink: SinkOptions
    model: ModelOptions = field(default_factory=ModelOptions)
    explain: ExplainOptions = field(default_factory=ExplainOptions)
    temporal: TemporalOptions = field(default_factory=TemporalOptions)
    draw: DrawOptions = field(default_factory=DrawOptions)

    @classmethod
    def from_options(
        cls, url: str | os.PathLike[str], path: str | os.PathLike[str], /, **options: Unpack[JobKeywords]
    ) -> Self:
        """Build a job from flat options, named like the option objects' fields.

        Args:
            url: path or URL of the input.
            path: path of the output.
            **options: see `streamcam.keywords.JobKeywords`.

        Raises:
            OptionError: unknown option, or a value that cannot be used.
        """
        for name in ("url", "path"):
            if name in options:
                raise OptionError(f"unknown option {name!r}", hint="the input and the output are positional arguments")
        values = {**options, "url": os.fspath(url), "path": Path(path)}
        return cls(**_split_options(values, [one.name for one in option_fields(cls).values()], cls))

    def to_dict(self) -> dict[str, Any]:
        """Return the job as values for JSON; see `options_to_dict`."""
        return options_to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the job that `to_dict` described."""
        return options_from_dict(cls, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesJob:
    """One input whose explained frames go to Python."""

    source: SourceOptions
    model: ModelOptions = field(default_factory=ModelOptions)
    explain: ExplainOptions = field(default_factory=ExplainOptions)
    temporal: TemporalOptions = field(default_factory=TemporalOptions)

    def __post_init__(self) -> None:
        if self.temporal.scale == "stream":
            raise OptionError("scale='stream' needs all frames before the first", expected="running, frame or a number")

    @classmethod
    def from_options(cls, url: str | os.PathLike[str], /, **options: Unpack[FramesKeywords]) -> Self:
        """Build a job from flat options, as `Job.from_options`.

        Raises:
            OptionError: unknown option, or a value that cannot be used.
        """
        values = {**options, "url": os.fspath(url)}
        return cls(**_split_options(values, [one.name for one in option_fields(cls).values()], cls))


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderJob:
    """A record to draw again; `streamcam.prepare_render.make_render_job` makes one."""

    record: RecordOptions
    source: SourceOptions
    sink: SinkOptions
    temporal: TemporalOptions = field(default_factory=TemporalOptions)
    draw: DrawOptions = field(default_factory=DrawOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveJob:
    """Cameras and any number of outputs.

    Attributes:
        cameras: at least one, with different names.
        outputs: name of a camera and where to push its frames.
        server: None serves no page.
        scale: as in `TemporalOptions`.
        max_explain_fps: most frames a second to explain, all cameras together; None for no limit.
        duration_seconds: end after this time; None for no end.
    """

    cameras: tuple[CameraOptions, ...]
    outputs: tuple[tuple[str, OutputOptions], ...] = ()
    server: ServerOptions | None = None
    model: ModelOptions = field(default_factory=ModelOptions)
    explain: ExplainOptions = field(default_factory=ExplainOptions)
    draw: DrawOptions = field(default_factory=DrawOptions)
    scale: Annotated[
        Scale,
        Help(
            "Attribution drawn at full strength: running (recent largest, fading), frame (each frame's own), or a "
            "number.",
            metavar="running|frame|NUMBER",
        ),
        SCALE_RANGE,
    ] = "running"
    max_explain_fps: Annotated[
        float | None, Help("Explain at most this many frames a second, all cameras together."), POSITIVE
    ] = None
    duration_seconds: Annotated[
        float | None,
        Help("End after this time, such as 90 or 10m.", option="--duration", metavar="TIME"),
        POSITIVE,
    ] = None

    def __post_init__(self) -> None:
        check_options(self)
        names = [camera.name for camera in self.cameras]
        if not names:
            raise OptionError("SOURCE is missing", expected="at least one camera")
        if len(set(names)) < len(names):
            raise OptionError("two cameras have the same name", expected="NAME=SOURCE with different names")

    @classmethod
    def from_options(
        cls,
        cameras: Iterable[tuple[str, str]],
        outputs: Iterable[tuple[str, str]] = (),
        *,
        server: ServerOptions | None = None,
        **options: Any,
    ) -> Self:
        """Build a job from flat options; an option that several objects have goes to each of them.

        Args:
            cameras: name and URL of each camera.
            outputs: name of a camera and URL of each output.
            server: None serves no page.
            **options: fields of the option objects of a live run.

        Raises:
            OptionError: unknown option, or a value that cannot be used.
        """
        camera_fields, output_fields = option_fields(CameraOptions), option_fields(OutputOptions)
        camera_values = {name: value for name, value in options.items() if name in camera_fields}
        output_values = {name: value for name, value in options.items() if name in output_fields}
        others = {name: v for name, v in options.items() if name not in camera_values and name not in output_values}
        return cls(
            cameras=tuple(CameraOptions(name=name, url=url, **camera_values) for name, url in cameras),
            outputs=tuple((name, OutputOptions(url=url, **output_values)) for name, url in outputs),
            server=server,
            **_split_options(others, ["model", "explain", "draw"], cls),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the job as values for JSON; see `options_to_dict`."""
        return options_to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the job that `to_dict` described."""
        return options_from_dict(cls, values)


def _split_options(values: Mapping[str, Any], names: list[str], job: type[Any]) -> dict[str, Any]:
    """Build the named option objects of a job from flat values; the job's own fields stay as they are."""
    remaining = {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in values.items()}
    remaining |= {"path": values["path"]} if "path" in values else {}
    if "target" in remaining:
        remaining["target"] = distinct_targets(normalize_targets(remaining["target"]))
    job_fields = option_fields(job)
    parts: dict[str, Any] = {}
    for name in names:
        kind = job_fields[name].type
        part = {one: remaining.pop(one) for one in option_fields(kind) if one in remaining}
        parts[name] = kind(**part)
    own = {name: one for name, one in job_fields.items() if one.help}
    parts |= {name: remaining.pop(name) for name in own if name in remaining}
    if remaining:
        unknown = next(iter(remaining))
        known = [one for name in names for one in option_fields(job_fields[name].type)]
        raise OptionError(f"unknown option {unknown!r}", hint=did_you_mean(unknown, [*known, *own]))
    return parts


def options_to_dict(options: Any) -> dict[str, Any]:
    """Return an option object, or a job, as values for JSON.

    Raises:
        OptionError: a value that JSON cannot hold, such as a function or a model.
    """
    return {name: _encode(name, getattr(options, name)) for name in option_fields(type(options))}


def describe_options(options: Any) -> dict[str, Any]:
    """Return options or a job as values that a file may keep.

    As `options_to_dict`, but URLs lose their secrets, and a value that JSON cannot hold becomes its name.
    """
    return {
        name: redact_url(value) if name == "url" else _encode(name, value, describe=True)
        for name in option_fields(type(options))
        for value in [getattr(options, name)]
    }


def options_from_dict(kind: type[T], values: Mapping[str, Any]) -> T:
    """Build the option object, or job, that `options_to_dict` described.

    Raises:
        OptionError: unknown or missing fields, or a value that cannot be used.
    """
    known = option_fields(kind)
    unknown = next((name for name in values if name not in known), None)
    if unknown is not None:
        raise OptionError(f"unknown option {unknown!r} of {kind.__name__}", hint=did_you_mean(unknown, known))
    missing = next((name for name, one in known.items() if one.default is MISSING and name not in values), None)
    if missing is not None:
        raise OptionError(f"option {missing!r} of {kind.__name__} is missing")
    return kind(**{name: _decode(known[name].type, value) for name, value in values.items()})


def _encode(name: str, value: Any, *, describe: bool = False) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (Path, Fraction)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_encode(name, one, describe=describe) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _encode(f"{name}[{key!r}]", one, describe=describe) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return describe_options(value) if describe else options_to_dict(value)
    if describe:
        kind = value if callable(value) and hasattr(value, "__qualname__") else type(value)
        return f"{kind.__module__}:{kind.__qualname__}"
    raise OptionError(
        f"{name} is a {type(value).__name__}, which cannot be sent to another process",
        expected="text, numbers, lists, or an import string package.module:function",
    )


def _decode(kind: Any, value: Any) -> Any:
    """Restore a value of a type that JSON does not have."""
    if value is None:
        return None
    if get_origin(kind) in (Union, types.UnionType):
        members = [one for one in get_args(kind) if one is not type(None)]
        if Fraction in members and isinstance(value, str):
            return Fraction(value)
        return _decode(members[0], value) if len(members) == 1 else value
    if get_origin(kind) is tuple:
        items = get_args(kind)
        kinds = [items[0]] * len(value) if items[-1] is Ellipsis else items
        return tuple(_decode(one, part) for one, part in zip(kinds, value, strict=True))
    if kind in (Path, Fraction):
        return kind(value)
    return options_from_dict(kind, value) if isinstance(kind, type) and is_dataclass(kind) else value
