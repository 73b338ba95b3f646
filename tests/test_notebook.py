"""How explanations show themselves: notebooks, figures, files, captions; and the kinds of images they take."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import streamcam
from streamcam.compose.colormaps import colormap
from streamcam.media.image_arrays import as_images
from streamcam.temporal import peak
from tests.engine import models
from tests.engine.executables import random_images, scale

LABELS = ["<tabby>", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def explainer() -> streamcam.Explainer:
    return streamcam.Explainer(models.functional(), preprocess=scale, labels=LABELS, target=["top", "<tabby> - b"])


@pytest.fixture(scope="module")
def image() -> Any:
    return np.asarray(Image.fromarray(random_images(1)[0]).resize((180, 120)))


@pytest.fixture(scope="module")
def found(explainer: streamcam.Explainer, image: Any) -> streamcam.Explanation:
    return explainer.explain(image, targets=0)


@pytest.fixture(scope="module")
def several(explainer: streamcam.Explainer, image: Any) -> streamcam.Explanation:
    return explainer.explain([image, image[:100]])


def test_html_has_overlay_class_probability_and_color_bar(found: streamcam.Explanation, image: Any) -> None:
    text = found._repr_html_()
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in re.findall(r"base64,([\w+/=]+)", text)
    ]
    assert len(pictures) == 2
    np.testing.assert_array_equal(pictures[0], found.overlay())
    assert pictures[1].shape[1] == 1
    assert len(np.unique(pictures[1].reshape(-1, 3), axis=0)) > 50
    assert "&lt;tabby&gt;" in text
    assert "<tabby>" not in text
    assert f"{found.probabilities[0]:.0%}" in text
    assert f"{found.maps.max():.3g}" in text
    assert "gradcam at last" in text
    for _, probability in found.top[0]:
        assert f"{probability:.1%}" in text


def test_html_shows_each_image_and_target_up_to_a_limit(
    several: streamcam.Explanation, explainer: streamcam.Explainer, image: Any
) -> None:
    assert several._repr_html_().count("<figure") == 4
    many = explainer.explain([image] * 7)._repr_html_()
    assert many.count("<figure") == 12
    assert "2 more are not shown" in many


def test_png_has_captions_and_bars(found: streamcam.Explanation, image: Any) -> None:
    shown = np.asarray(Image.open(io.BytesIO(found._repr_png_())))
    captioned = found.overlay(caption=True)
    assert shown.shape[0] == image.shape[0]
    np.testing.assert_array_equal(shown[:, : image.shape[1]], captioned)
    assert (captioned[:60] != found.overlay()[:60]).any()
    np.testing.assert_array_equal(captioned[80:], found.overlay()[80:])


def test_a_caption_is_legible_text_on_a_dark_plate(image: Any) -> None:
    from streamcam.compose.image_caption import caption_image

    bright = np.full((240, 320, 3), 250, np.uint8)
    drawn = caption_image(bright, ["tabby  93%", "gradcam at last"])
    plate = drawn[4:30, 4:60]
    assert (bright == 250).all()
    assert plate.min() < 120
    assert plate.max() >= 250
    assert caption_image(bright[:8, :8], ["tabby", "gradcam"]).shape == (8, 8, 3)


def test_save_writes_full_size_and_never_over_a_file(
    found: streamcam.Explanation, several: streamcam.Explanation, tmp_path: Path
) -> None:
    (path,) = found.save(tmp_path / "o.png", alpha=0.3)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), found.overlay(alpha=0.3))
    with pytest.raises(streamcam.SinkError, match=r"o\.png exists"):
        found.save(path)
    found.save(path, overwrite=True, caption=True)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), found.overlay(caption=True))
    paths = several.save(str(tmp_path / "s.jpg"), target=1)
    assert [one.name for one in paths] == ["s-0.jpg", "s-1.jpg"]
    assert [Image.open(one).size for one in paths] == [(180, 120), (180, 100)]
    with pytest.raises(streamcam.OptionError, match="suffix"):
        found.save(tmp_path / "o.gif")
    with pytest.raises(streamcam.SinkError, match="cannot be written"):
        found.save(tmp_path / "missing" / "o.png")


def test_a_save_that_fails_keeps_the_earlier_file(found: streamcam.Explanation, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    (path,) = found.save(tmp_path / "o.png")
    earlier = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        for name in ("o.png", "new.png"):
            with pytest.raises(streamcam.SinkError, match=rf"{name} cannot be written"):
                found.save(tmp_path / name, overwrite=True, caption=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == earlier
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(streamcam.SinkError, match="is a folder"):
        found.save(tmp_path / "folder.png", overwrite=True)


def test_a_save_of_several_writes_none_if_one_file_exists(several: streamcam.Explanation, tmp_path: Path) -> None:
    (tmp_path / "s-1.png").write_bytes(b"")
    with pytest.raises(streamcam.SinkError, match=r"s-1\.png exists"):
        several.save(tmp_path / "s.png")
    assert [one.name for one in tmp_path.iterdir()] == ["s-1.png"]


def test_plot_is_a_figure_with_bars(several: streamcam.Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    figure = several.plot(alpha=0.4)
    images = [axis for axis in figure.axes if axis.images]
    assert len(images) == 4
    assert len(figure.axes) == 8  # and a bar for each
    np.testing.assert_array_equal(images[1].images[0].get_array(), several.overlay(target=1, alpha=0.4)[0])
    assert several.targets[0][1] in images[1].get_title()
    matplotlib.pyplot.close(figure)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(streamcam.StreamcamError, match=r"pip install 'streamcam\[plot\]'"):
        several.plot()


@pytest.mark.parametrize(
    ("map_kind", "options", "ends", "colors"),
    [
        ("heat", {"colormap": "viridis", "scale": 0.25}, (0, 0.25), "viridis"),
        ("heat", {}, (0, None), "turbo"),
        ("pixels", {"layout": "heatmap"}, (0, None), "gray"),
        ("signed", {"scale": 2.0}, (-2, 2), "RdBu_r"),
        ("relief", {"layout": "heatmap", "scale": 2.0}, (-2, 2), "gray"),
    ],
)
def test_the_bar_of_a_plot_is_that_of_its_overlays(
    found: streamcam.Explanation, map_kind: Any, options: dict[str, Any], ends: tuple[float, Any], colors: Any
) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    shown = dataclasses.replace(found, map_kind=map_kind, maps=np.abs(found.maps) + 1)  # no map is zero
    figure = shown.plot(**options)
    bar = figure.axes[-1]._colorbar.mappable
    low, high = ends
    assert bar.norm.vmin == low
    assert bar.norm.vmax == (peak(shown.target_maps[-1, -1], map_kind) if high is None else high)
    np.testing.assert_allclose(bar.cmap(1.0)[:3], colormap(colors, 511)[-1], atol=0.02)
    matplotlib.pyplot.close(figure)


# Kinds of images


def test_floats_are_read_in_both_ranges() -> None:
    image = random_images(1)[0]
    for same in (image / 255.0, (image / 255).astype(np.float32), image.astype(np.float64), image.astype(np.int64)):
        ((found,), is_single) = as_images(same)
        assert is_single
        np.testing.assert_array_equal(found, image)
    dark, _ = as_images([image / 255.0, np.full((4, 4, 3), 0.2)])
    np.testing.assert_array_equal(dark[1], np.full((4, 4, 3), 51))
    pair, _ = as_images([image * 1.0, np.full((4, 4, 3), 1.0)])  # one range for a call
    np.testing.assert_array_equal(pair[1], np.full((4, 4, 3), 1))


def test_paths_and_pillow_images_are_read(tmp_path: Path) -> None:
    image = random_images(1)[0]
    path = tmp_path / "i.png"
    Image.fromarray(image).save(path)
    rotated = Image.fromarray(image)
    exif = rotated.getexif()
    exif[0x0112] = 6
    rotated.save(tmp_path / "r.png", exif=exif)
    for form in (path, str(path), Image.fromarray(image), Image.fromarray(image).convert("RGBA")):
        np.testing.assert_array_equal(as_images(form)[0][0], image)
    found, is_single = as_images([path, Image.fromarray(image).convert("L"), image])
    assert not is_single
    assert [one.shape for one in found] == [image.shape] * 3
    np.testing.assert_array_equal(as_images(tmp_path / "r.png")[0][0], np.rot90(image, -1))


def test_alpha_lies_over_white_in_arrays_pillow_images_and_files(tmp_path: Path) -> None:
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[..., 3] = np.arange(0, 6) * 51
    expected = np.repeat(255 - rgba[..., 3:], 3, axis=2)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    for form in (rgba, rgba / 255.0, Image.fromarray(rgba), tmp_path / "a.png"):
        np.testing.assert_array_equal(as_images(form)[0][0], expected)


@pytest.mark.parametrize(
    ("image", "error", "says"),
    [
        (np.full((4, 4, 3), -0.5), streamcam.OptionError, "from -0.5 to -0.5; expected 0 to 1 or 0 to 255"),
        (np.full((4, 4, 3), np.nan), streamcam.OptionError, "nan"),
        (np.full((4, 4, 3), 60_000, np.uint16), streamcam.OptionError, "60000"),
        (np.zeros((4, 4, 3), bool), streamcam.OptionError, "bool"),
        ("nowhere.png", streamcam.SourceError, "no such file"),
        (__file__, streamcam.SourceError, "not an image that can be read; expected PNG, JPEG, .*AVIF"),
    ],
)
def test_what_is_no_image_is_said(image: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        as_images(image)


def test_a_disguised_postscript_file_starts_no_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_ghostscript(*_: object, **options: object) -> None:
        raise AssertionError("Ghostscript was started")

    path = tmp_path / "photo.jpg"
    Image.fromarray(random_images(1)[0]).save(path, "EPS")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", run_ghostscript)
    with pytest.raises(streamcam.SourceError, match=r"photo\.jpg is not an image that can be read"):
        as_images(path)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF"])
def test_files_of_the_usual_formats_are_read_and_damaged_ones_are_refused(tmp_path: Path, name: str) -> None:
    Image.init()
    if name not in Image.SAVE:
        pytest.skip(f"this Pillow has no {name}")
    image, path = random_images(1)[0], tmp_path / "i"
    Image.fromarray(image).save(path, name)
    assert as_images(path)[0][0].shape == image.shape
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(streamcam.SourceError) as caught:
        as_images(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, SyntaxError, EOFError, IndexError])
def test_any_error_of_a_decoder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def load(self: Image.Image) -> None:
        raise error("line\nand another")

    path = tmp_path / "i.bmp"
    Image.fromarray(random_images(1)[0]).save(path)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(streamcam.SourceError, match=r"i\.bmp cannot be read") as caught:
        as_images(path)
    assert "\n" not in str(caught.value)
