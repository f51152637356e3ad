"""Slim detectors on a ResNet-18 for comparing training, in torchvision and as ours; and pictures with a truth."""

from types import MappingProxyType
from typing import NamedTuple

import numpy as np

#: Channels of the pyramid, which stands on stages 2 and 3; labels, and outputs with the background.
FPN_CHANNELS, N_FG_CLASS, N_OUTPUT = 32, 3, 4

#: Runs in the live interpreter, ahead of a snippet: makes a detector, its batch, and pins what is random.
SLIM_DETECTORS = f"""
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import LastLevelP6P7, LastLevelMaxPool

torch.randperm = lambda n, **options: torch.arange(n)


def backbone(extra):
    body = torchvision.models.resnet18(weights=None, norm_layer=torchvision.ops.FrozenBatchNorm2d)
    del body.layer4, body.fc
    return BackboneWithFPN(body, {{"layer2": "0", "layer3": "1"}}, [128, 256], {FPN_CHANNELS}, extra_blocks=extra)


def rcnn_parts():
    sizes = ((32,), (64,), (128,))
    return {{
        "backbone": backbone(LastLevelMaxPool()),
        "rpn_anchor_generator": AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 3),
        "box_roi_pool": torchvision.ops.MultiScaleRoIAlign(["0", "1"], 7, 2),
        "box_head": torchvision.models.detection.faster_rcnn.TwoMLPHead({FPN_CHANNELS} * 49, 48),
        "box_predictor": torchvision.models.detection.faster_rcnn.FastRCNNPredictor(48, {N_OUTPUT}),
    }}


def batch(dtype):
    imgs = [torch.from_numpy(inputs[f"img{{i}}"]).to(dtype) / 255 for i in range(int(inputs["n_img"]))]
    targets = []
    for i in range(len(imgs)):
        target = {{
            "boxes": torch.from_numpy(inputs[f"bbox{{i}}"][:, [1, 0, 3, 2]]).to(dtype),
            "labels": torch.from_numpy(inputs[f"label{{i}}"]).long() + 1,
        }}
        targets.append(target)
    return imgs, targets
"""


class Slim(NamedTuple):
    """A slim detector.

    Attributes:
        builder (str): Ours.
        options (dict): What makes ours as slim.
        theirs (str): Python that makes torchvision's, as ``model``.
        spread (str): Python that gives the outputs of its random heads a given spread: see ``random_networks``.
    """

    builder: str
    options: dict
    theirs: str
    spread: str


_SIZES = MappingProxyType({"min_size": 96, "max_size": 160})
_OPTIONS = {"depth": 18, "n_fg_class": N_FG_CLASS, "stages": (2, 3), "fpn_channels": FPN_CHANNELS, **_SIZES}
_RCNN_SPREAD = """
spread(run, (model.rpn.head.cls_logits, 3), (model.rpn.head.bbox_pred, 0.3))
spread(run, (model.roi_heads.box_predictor.cls_score, 3), (model.roi_heads.box_predictor.bbox_pred, 1))
"""
SLIM = {
    "faster_rcnn": Slim(
        "fasterrcnn_resnet_fpn",
        {**_OPTIONS, "head_channels": 48},
        f"model = FasterRCNN(**rcnn_parts(), **{dict(_SIZES)})",
        _RCNN_SPREAD,
    ),
}


def pictures(n_img=2):
    """Make noisy pictures of different sizes, the last of which shows nothing.

    Args:
        n_img (int): How many.

    Returns:
        tuple of lists: Images (3, H, W), boxes (R, 4) and labels (R,).
    """
    random = np.random.default_rng(1)
    imgs, bboxes, labels = [], [], []
    for i in range(n_img):
        height, width = 100 + 20 * (i % 3), 150 - 30 * (i % 2)
        img = random.uniform(0, 255, (3, height // 8 + 1, width // 8 + 1)).astype(np.float32)
        img = img.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
        n_object = 0 if n_img > 1 and i == n_img - 1 else 3
        corner = random.uniform(0, 50, (n_object, 2))
        bbox = np.concatenate((corner, corner + random.uniform(20, 48, (n_object, 2))), axis=1).astype(np.float32)
        label = random.integers(0, N_FG_CLASS, n_object).astype(np.int32)
        for (top, left, bottom, right), name in zip(bbox.astype(int), label, strict=True):
            img[:, top:bottom, left:right] = 80 * name + random.uniform(0, 40, (3, 1, 1))
        img += random.uniform(-10, 10, img.shape)  # in an even area rounding alone would choose a maximum to pool
        imgs.append(np.ascontiguousarray(img.clip(0, 255)))
        bboxes.append(bbox)
        labels.append(label)
    return imgs, bboxes, labels


def as_inputs(imgs, bboxes, labels):
    """Name the arrays as ``batch`` wants them.

    Returns:
        dict of array: For the live interpreter.
    """
    lists = {"img": imgs, "bbox": bboxes, "label": labels}
    arrays = {f"{name}{i}": array for name, arrays in lists.items() for i, array in enumerate(arrays)}
    return {"n_img": np.array(len(imgs)), **arrays}
