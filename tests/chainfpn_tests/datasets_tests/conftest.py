import numpy as np
import pytest
from PIL import Image

ANNOTATION = """# Compatible with PASCAL Annotation Version 1.00
Image filename : "PennFudanPed/PNGImages/{name}.png"
Image size (X x Y x C) : 12 x 10 x 3
Objects with ground truth : {n} {{ "PASpersonWalking" }}
"""
BOX = """
Bounding box for object {i} "PASpersonWalking" (Xmin, Ymin) - (Xmax, Ymax) : ({x0}, {y0}) - ({x1}, {y1})
Pixel mask for object {i} "PASpersonWalking" : "PennFudanPed/PedMasks/{name}_mask.png"
"""


@pytest.fixture
def penn_fudan(tmp_path):
    """Three images of 10 x 12 pixels with 0, 1 and 2 pedestrians, whose boxes are what their masks cover."""
    for folder in ("PNGImages", "Annotation", "PedMasks"):
        (tmp_path / folder).mkdir()
    boxes = [(1, 1, 3, 5), (6, 2, 12, 10)]  # x0, y0, x1, y1 from 1
    for n, name in enumerate("abc"):
        image, mask = np.full((10, 12, 3), n, dtype=np.uint8), np.zeros((10, 12), dtype=np.uint8)
        text = ANNOTATION.format(name=name, n=n)
        for i, (x0, y0, x1, y1) in enumerate(boxes[:n], start=1):
            mask[y0 - 1 : y1, x0 - 1 : x1] = i
            text += BOX.format(i=i, x0=x0, y0=y0, x1=x1, y1=y1, name=name)
        Image.fromarray(image).save(tmp_path / "PNGImages" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "PedMasks" / f"{name}_mask.png")
        (tmp_path / "Annotation" / f"{name}.txt").write_text(text)
    return tmp_path


VOC_OBJECT = """<object><name>{name}</name>{difficult}<bndbox>
<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"""


@pytest.fixture
def voc(tmp_path):
    """Two annotated images, of a dog and a difficult person, and of nothing; one image without annotation."""
    root = tmp_path / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name, size in (("000001", (20, 10)), ("000002", (8, 16)), ("000003", (4, 4))):
        Image.new("RGB", size).save(root / "JPEGImages" / f"{name}.jpg")
    dog = VOC_OBJECT.format(name="dog", difficult="<difficult>0</difficult>", x0=1, y0=2, x1=20, y1=10)
    person = VOC_OBJECT.format(name="person", difficult="<difficult>1</difficult>", x0=5, y0=5.5, x1=6, y1=9)
    (root / "Annotations" / "000001.xml").write_text(f"<annotation>{dog}{person}</annotation>")
    (root / "Annotations" / "000002.xml").write_text("<annotation><folder>x</folder></annotation>")
    (root / "ImageSets" / "Main" / "val.txt").write_text("000002\n")
    return root
