"""Blending levels into images: compiled and in passes, equal to the last sample."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamcam.compose import native as compiled
from streamcam.compose.overlay import OverlayBlender, make_blend_table
from streamcam.compose.upsample import LEVELS, QuantizedMap
from streamcam.compose.yuv import PlaneBlender
from streamcam.frames import ColorSpec, SourceInfo
from streamcam.options import DrawOptions

FORMATS = {"yuv420p": np.uint8, "yuv420p10le": np.uint16}
SOURCES = Path(compiled.__file__).parent


@pytest.fixture
def needs_compiled():
    if compiled.report_environment()["drawing"] != "compiled":
        pytest.skip("nothing was compiled")


def info(width, height, pixel_format):
    return SourceInfo("clip", width, height, pixel_format, Fraction(1, 25), ColorSpec(1, 1, 1, 1))


def paint(levels, planes, pixel_format, options, map_kind, top, left):
    height, width = planes[1].shape
    stream = info(2 * width, 2 * height, pixel_format)
    blender = OverlayBlender(options, stream, map_kind, PlaneBlender(planes[0].dtype, (2 * width, 2 * height)))
    copies = tuple(plane.copy() for plane in planes)
    blender(QuantizedMap(levels, 1, 2), copies, top, left)
    return copies


def formula(levels, planes, blend_table, lowest, top, left):
    """`Paint`'s definition, in integers that nothing overflows."""
    found = blend_table.astype(np.int64)[np.clip(levels.astype(np.int64), lowest, LEVELS - 1) - lowest]
    bits = 8 * planes[0].itemsize
    height, width = levels.shape
    expected = []
    for number, plane in enumerate(planes):
        size = 1 if number else 2
        keep, add = (values.repeat(size, 0).repeat(size, 1) for values in (found[..., 0], found[..., number + 1]))
        area = np.s_[size * top : size * (top + height), size * left : size * (left + width)]
        whole = plane.astype(np.int64)
        whole[area] = (whole[area] * keep + add) >> bits
        expected.append(whole.astype(plane.dtype))
    return expected


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("map_kind", ["heat", "signed", "pixels"])
@pytest.mark.parametrize("blocks", [(1, 1), (7, 31), (5, 512), (3, 513), (2, 1300)])
@pytest.mark.parametrize("way", ["compiled", "in passes"])
def test_levels_do_what_the_formula_says(way, blocks, map_kind, pixel_format, monkeypatch, request):
    if way == "compiled":
        request.getfixturevalue("needs_compiled")
    else:
        monkeypatch.setattr(compiled, "native_blend", lambda blend_table, lowest: None)
    rng = np.random.default_rng(blocks[1])
    height, width = blocks[0] + 5, blocks[1] + 9
    bits = 8 if pixel_format == "yuv420p" else 10
    shapes = [(2 * height, 2 * width), (height, width), (height, width)]
    planes = [rng.integers(0, 2**bits, shape).astype(FORMATS[pixel_format]) for shape in shapes]
    # The cubic overshoots: there are levels beyond the last one on both sides.
    levels = rng.integers(-LEVELS * 5 // 4, LEVELS * 5 // 4, blocks).astype(np.int16)
    options = DrawOptions(alpha=0.9, colormap="turbo")
    blend_table, lowest = make_blend_table(options, info(2 * width, 2 * height, pixel_format), map_kind)
    found = paint(levels, planes, pixel_format, options, map_kind, 2, 3)
    for plane, expected in zip(found, formula(levels, planes, blend_table, lowest, 3, 5), strict=True):
        np.testing.assert_array_equal(plane, expected)


def test_lines_may_have_gaps_between_them(needs_compiled):
    options, stream = DrawOptions(), info(16, 8, "yuv420p")
    rng = np.random.default_rng(1)
    memory = [rng.integers(0, 256, shape).astype(np.uint8) for shape in [(8, 64), (4, 48), (4, 48)]]
    planes = [plane[:, 5 : 5 + width] for plane, width in zip(memory, (16, 8, 8), strict=True)]
    before = [plane.copy() for plane in memory]
    levels = np.full((4, 8), LEVELS - 1, np.int16)
    OverlayBlender(options, stream, "heat", PlaneBlender(np.dtype(np.uint8), (16, 8)))(
        QuantizedMap(levels, 0, 0), planes, 0, 0
    )
    for plane, old, width in zip(memory, before, (16, 8, 8), strict=True):
        np.testing.assert_array_equal(plane[:, :5], old[:, :5])
        np.testing.assert_array_equal(plane[:, 5 + width :], old[:, 5 + width :])
        assert (plane[:, 5 : 5 + width] != old[:, 5 : 5 + width]).mean() > 0.9


@pytest.mark.parametrize("broken", ["levels beyond the planes", "wide samples", "turned planes", "turned levels"])
def test_arrays_that_do_not_fit_are_not_handed_to_compiled_code(broken, needs_compiled):
    blend_table, lowest = make_blend_table(DrawOptions(), info(16, 8, "yuv420p"), "heat")
    lay = compiled.native_blend(blend_table, lowest)
    levels = np.zeros((4, 8), np.int16)
    planes = [np.zeros(shape, np.uint8) for shape in [(8, 16), (4, 8), (4, 8)]]
    lay(levels, planes)
    if broken == "levels beyond the planes":
        levels = np.zeros((4, 9), np.int16)
    elif broken == "wide samples":
        planes[1] = planes[1].astype(np.uint16)
    elif broken == "turned planes":
        planes[2] = np.zeros((8, 4), np.uint8).T
    else:
        levels = np.zeros((8, 4), np.int16).T
    with pytest.raises(ValueError, match=r"^invalid (plane|levels): .*; expected"):
        lay(levels, planes)


def test_a_library_of_another_version_is_left_alone(needs_compiled, monkeypatch):
    monkeypatch.setattr(compiled, "_VERSION", compiled._VERSION + 1)
    compiled._load_library.cache_clear()
    try:
        assert compiled.native_blend(*make_blend_table(DrawOptions(), info(16, 8, "yuv420p"), "heat")) is None
        assert compiled.report_environment()["drawing"] != "compiled"
    finally:
        compiled._load_library.cache_clear()


@pytest.mark.skipif(
    shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) is None, reason="there is no C compiler"
)
def test_where_there_is_a_compiler_it_was_used():
    assert compiled.report_environment()["drawing"] == "compiled"


PROGRAM = """
#include "blend.c"
#include <stdlib.h>

#define TRY(LAY, WORD, WIDE)                                                                  \\
    for (int width = 1; width < 1100; width += 73) {                                          \\
        int height = 3, stride = width + 1;                                                   \\
        WORD *luma = calloc(4 * height * width, sizeof(WORD));                                \\
        WORD *blue = calloc((height - 1) * stride + width, sizeof(WORD));                     \\
        WORD *red = calloc(height * width, sizeof(WORD));                                     \\
        WIDE *table = calloc(4 * 10, sizeof(WIDE));                                           \\
        int16_t *levels = calloc(height * width, sizeof(int16_t));                            \\
        for (int n = 0; n < height * width; n++) levels[n] = n * 977;                         \\
        LAY(luma, 2 * width, blue, stride, red, width, levels, height, width, table, -4, 9);  \\
        free(luma), free(blue), free(red), free(table), free(levels);                         \\
    }

int main(void)
{
    TRY(streamcam_blend_8, uint8_t, uint16_t)
    TRY(streamcam_blend_16, uint16_t, uint32_t)
    return 0;
}
"""


def test_compiled_code_touches_no_memory_but_its_own(tmp_path):
    """The sanitizers end a process at its first wrong access, overflow or leak."""
    command = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    (tmp_path / "nothing.c").write_text("int main(void) { return 0; }")
    (tmp_path / "try.c").write_text(PROGRAM)
    try:
        subprocess.run([*command, "nothing.c", "-o", "nothing"], cwd=tmp_path, check=True)
        subprocess.run([str(tmp_path / "nothing")], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no gcc with sanitizers")
    subprocess.run([*command, f"-I{SOURCES}", "try.c", "-o", "try"], cwd=tmp_path, check=True)
    subprocess.run([str(tmp_path / "try")], check=True)
