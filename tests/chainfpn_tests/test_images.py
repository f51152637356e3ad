import threading
import warnings

import numpy as np
import PIL
import pytest
from PIL import Image

from chainfpn.images import ImageError, _WithoutWarnings, read_image, to_array

RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(mode="RGB"):
    """Left half red, right half blue, 8 x 6 pixels."""
    image = Image.new("RGB", (8, 6), RED)
    image.paste(BLUE, (4, 0, 8, 6))
    return image.convert(mode)


def near(pixel, expected, tolerance=6):
    return np.abs(np.subtract(pixel, expected)).max() <= tolerance


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.webp", "x.tiff", "x.gif", "x.ppm"])
def test_every_usual_format_is_read(tmp_path, name):
    halves().save(tmp_path / name, **({"lossless": True} if name == "x.webp" else {}))
    image = read_image(tmp_path / name)
    assert image.mode == "RGB"
    assert image.size == (8, 6)
    assert near(image.getpixel((1, 1)), RED)
    assert near(image.getpixel((6, 4)), BLUE)


#: Pillow before 13, the newest for Python 3.10, does not read the YCbCr that it writes.
YCBCR = pytest.param("YCbCr", marks=pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="an old Pillow"))


@pytest.mark.parametrize("mode", ["P", "CMYK", YCBCR, "RGBA"])
def test_modes_become_rgb(tmp_path, mode):
    halves(mode).save(tmp_path / "x.tiff")
    image = read_image(tmp_path / "x.tiff")
    assert image.mode == "RGB"
    assert near(image.getpixel((1, 1)), RED, 25)
    assert near(image.getpixel((6, 4)), BLUE, 25)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_has_three_equal_channels(tmp_path, mode):
    Image.new("L", (4, 4), 255).convert(mode).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").getpixel((2, 2)) == (255, 255, 255)


GREY = {
    "16 bits": (np.uint16, [0, 257, 257 * 128, 65535], [0, 1, 128, 255]),
    "dark 16 bits": (np.uint16, [0, 100, 200, 255], [0, 0, 1, 1]),
    "floats to 1": (np.float32, [0, 0.25, 0.5, 1], [0, 64, 128, 255]),
    "floats to 255": (np.float32, [-3, 1, 254.6, 255], [0, 1, 255, 255]),
    "not a number": (np.float32, [np.nan, 0, 1, 255], [0, 0, 1, 255]),
}


@pytest.mark.parametrize(("dtype", "values", "expected"), GREY.values(), ids=GREY)
def test_deep_grey_is_scaled_not_cut_off(tmp_path, dtype, values, expected):
    Image.fromarray(np.array([values], dtype=dtype)).save(tmp_path / "x.tiff")
    assert np.asarray(read_image(tmp_path / "x.tiff"))[0, :, 1].tolist() == expected


def test_16_bit_png_is_scaled(tmp_path):
    Image.fromarray(np.full((3, 3), 40000, dtype=np.uint16)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").getpixel((0, 0)) == (156, 156, 156)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette"])
def test_what_is_transparent_is_white(tmp_path, kind):
    if kind == "palette":
        Image.new("P", (4, 4), 0).save(tmp_path / "x.png", transparency=0)
    else:
        Image.new(kind, (4, 4), 0).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").getpixel((2, 2)) == (255, 255, 255)


def test_half_transparent_red_is_pink(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 128)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").getpixel((2, 2)) == (255, 127, 127)


#: EXIF orientation to where the first pixel of a stored image of 8 x 6 ends up: x, y.
ORIENTATIONS = {1: (0, 0), 2: (7, 0), 3: (7, 5), 4: (0, 5), 5: (0, 0), 6: (5, 0), 7: (5, 7), 8: (0, 7)}


@pytest.mark.parametrize(("orientation", "corner"), ORIENTATIONS.items())
def test_exif_orientation_is_honoured(tmp_path, orientation, corner):
    image = Image.new("RGB", (8, 6), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "x.png", exif=exif)
    upright = read_image(tmp_path / "x.png")
    assert upright.size == ((8, 6) if orientation <= 4 else (6, 8))
    assert upright.getpixel(corner) == (255, 255, 255)


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    first, second = Image.new("RGB", (4, 4), RED), Image.new("RGB", (4, 4), BLUE)
    first.save(tmp_path / "x.gif", save_all=True, append_images=[second])
    assert near(read_image(tmp_path / "x.gif").getpixel((0, 0)), RED)


def test_an_array_is_what_detectors_take():
    array = to_array(halves())
    assert array.shape == (3, 6, 8)
    assert array.dtype == np.float32
    assert tuple(array[:, 0, 0]) == RED
    assert tuple(array[:, 5, 7]) == BLUE


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"nowhere\.jpg: there is no such file$"):
        read_image(tmp_path / "nowhere.jpg")


def test_a_folder_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"is a folder, not an image$"):
        read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=r"x\.jpg: is (not an image|damaged \(.*\))$"):
        read_image(tmp_path / "x.jpg")


def test_an_image_that_claims_to_be_huge_is_not_read(tmp_path):
    halves().save(tmp_path / "x.bmp")
    content = bytearray((tmp_path / "x.bmp").read_bytes())
    content[18:26] = (100_000).to_bytes(4, "little") * 2  # width and height
    (tmp_path / "x.bmp").write_bytes(content)
    with pytest.raises(ImageError, match="claims to be larger than any photograph"):
        read_image(tmp_path / "x.bmp")


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.gif", "x.tiff", "x.bmp", "x.webp"])
def test_damage_is_an_image_error_or_is_overlooked(tmp_path, name):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8))
    path = tmp_path / name
    noise.save(path)
    intact = path.read_bytes()
    messages = []
    for i in range(150):
        content = bytearray(intact)
        if i % 3 == 0:
            del content[rng.integers(1, len(content)) :]
        else:
            for position in rng.integers(0, min(len(content), 200) if i % 3 == 1 else len(content), 4):
                content[position] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            assert read_image(path).mode == "RGB"
        except ImageError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all(message.startswith(str(path)) for message in messages)
    assert not any("\n" in message for message in messages)


def test_pixels_as_stored_are_not_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    halves().save(tmp_path / "x.png", exif=exif)
    assert read_image(tmp_path / "x.png").size == (6, 8)
    image = read_image(tmp_path / "x.png", upright=False)
    assert image.size == (8, 6)
    assert near(image.getpixel((1, 1)), RED)


def test_warnings_are_dropped_only_while_images_are_read():
    before = list(warnings.filters)
    inside, outside = _WithoutWarnings(), threading.Barrier(2)

    def read():
        with inside:
            outside.wait(timeout=20)  # both are inside, and leave in any order
            warnings.warn("odd metadata", stacklevel=1)

    threads = [threading.Thread(target=read) for _ in range(2)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        warnings.warn("said", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["said"]
    assert warnings.filters == before
