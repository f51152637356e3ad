"""Write little data to try the other examples with.

    python examples/sample_data.py classes sample_classes    # a folder of red images, and one of blue ones
    python examples/sample_data.py voc sample_voc            # three images of shapes, in VOC's form
    python examples/sample_data.py moco sample_moco.pkl      # as MoCo's authors publish theirs; it has learned nothing

What is there already is left as it is.
"""

import argparse
import pathlib
import pickle
import tempfile
from xml.etree import ElementTree

import chainfpn

# isort: split

import numpy as np
from PIL import Image

import weights_convert
from chainfpn import models
from chainfpn.datasets import ShapesDataset


def classes(folder):
    """Write twelve images of two classes."""
    rng = np.random.default_rng(0)
    for name, channel in (("blue", 2), ("red", 0)):
        (folder / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 20, (40, 48, 3), np.uint8)
            pixels[:, :, channel] += 180
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def voc(folder):
    """Write three images with their annotations; VOC counts pixels from 1. One of them is for validation."""
    shapes = ShapesDataset(3, 64)
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for i, (img, bbox, label) in enumerate(shapes):
        Image.fromarray(img.astype(np.uint8).transpose(1, 2, 0)).save(folder / "JPEGImages" / f"{i}.jpg")
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = f"{i}.jpg"
        for box, class_index in zip(bbox, label, strict=True):
            found = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(found, "name").text = shapes.label_names[class_index]
            corners = ElementTree.SubElement(found, "bndbox")
            for corner, value in zip(("ymin", "xmin", "ymax", "xmax"), box, strict=True):
                ElementTree.SubElement(corners, corner).text = str(int(value) + 1)
        ElementTree.ElementTree(root).write(folder / "Annotations" / f"{i}.xml")
    (folder / "ImageSets" / "Main" / "train.txt").write_text("0\n1\n")
    (folder / "ImageSets" / "Main" / "val.txt").write_text("2\n")


def moco(file):
    """Write a checkpoint with MoCo's names."""
    with tempfile.TemporaryDirectory() as folder:
        trunk, checkpoint = pathlib.Path(folder) / "trunk.npz", pathlib.Path(folder) / "trunk.pth"
        chainfpn.save_weights(trunk, models.resnet18(n_class=0))
        weights_convert.convert(trunk, checkpoint)
        arrays = weights_convert.read_checkpoint(checkpoint)
    state_dict = {f"module.encoder_q.{name}": array for name, array in arrays.items()}
    file.write_bytes(pickle.dumps({"state_dict": state_dict, "epoch": 800}, 2))


KINDS = {"classes": classes, "voc": voc, "moco": moco}


def main(arguments=None):
    """Write one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("path", type=pathlib.Path, help="what is written")
    options = parser.parse_args(arguments)
    if not options.path.exists():
        KINDS[options.kind](options.path)


if __name__ == "__main__":
    main()
