"""A whole model from one file that says which model it is."""

import os

from chainfpn.models import (
    classifiers,
    faster_rcnn,
    fcos,
    fpn,
    keypoint_rcnn,
    kuangliu_retinanet,
    mask_rcnn,
    mobile_faster_rcnn,
    resnet,
    retinanet,
    ssd,
)
from chainfpn.models.weights import find_weights
from chainfpn.serialization import WeightsError

#: Every builder by its name, which is what ``__meta__`` of a weight file calls a model.
BUILDERS = {
    **{name: getattr(resnet, name) for name in resnet.RESNETS},
    **classifiers.CLASSIFIERS,
    "fpn50": fpn.fpn50,
    "fpn101": fpn.fpn101,
    "retinanet_kuangliu": kuangliu_retinanet.retinanet_kuangliu,
    "fasterrcnn_resnet50_fpn": faster_rcnn.fasterrcnn_resnet50_fpn,
    "fasterrcnn_resnet50_fpn_v2": faster_rcnn.fasterrcnn_resnet50_fpn_v2,
    "fasterrcnn_resnet_fpn": faster_rcnn.fasterrcnn_resnet_fpn,
    "fasterrcnn_resnet_fpn_v2": faster_rcnn.fasterrcnn_resnet_fpn_v2,
    "fasterrcnn_mobilenet_v3_large_fpn": mobile_faster_rcnn.fasterrcnn_mobilenet_v3_large_fpn,
    "fasterrcnn_mobilenet_v3_large_320_fpn": mobile_faster_rcnn.fasterrcnn_mobilenet_v3_large_320_fpn,
    "maskrcnn_resnet50_fpn": mask_rcnn.maskrcnn_resnet50_fpn,
    "maskrcnn_resnet50_fpn_v2": mask_rcnn.maskrcnn_resnet50_fpn_v2,
    "maskrcnn_resnet_fpn": mask_rcnn.maskrcnn_resnet_fpn,
    "maskrcnn_resnet_fpn_v2": mask_rcnn.maskrcnn_resnet_fpn_v2,
    "keypointrcnn_resnet50_fpn": keypoint_rcnn.keypointrcnn_resnet50_fpn,
    "keypointrcnn_resnet_fpn": keypoint_rcnn.keypointrcnn_resnet_fpn,
    "retinanet_resnet50_fpn": retinanet.retinanet_resnet50_fpn,
    "retinanet_resnet50_fpn_v2": retinanet.retinanet_resnet50_fpn_v2,
    "retinanet_resnet_fpn": retinanet.retinanet_resnet_fpn,
    "retinanet_resnet_fpn_v2": retinanet.retinanet_resnet_fpn_v2,
    "fcos_resnet50_fpn": fcos.fcos_resnet50_fpn,
    "fcos_resnet_fpn": fcos.fcos_resnet_fpn,
    "ssd300_vgg16": ssd.ssd300_vgg16,
}


def load(path, *, model=None):
    """Build the model that a weight file is of, with its weights.

    Args:
        path (str or os.PathLike): An .npz from the converter, or a checkpoint (.pth ...) to convert on the fly.
        model (str or None): Name of the builder, for a file that does not say it.

    Returns:
        chainer.Link: The model, on the CPU.

    Raises:
        WeightsError: if the file does not fit, or says no model and none is given, or names one there is not.
        OSError: if it cannot be read.

    Example:
        >>> from chainfpn import models
        >>> detector = models.load("detector.npz")  # doctest: +SKIP
    """
    file = os.path.basename(path)
    weights = find_weights(path, name=None, zoo=()) if model is None else path
    name = weights.meta.get("model") if model is None else model
    if name is None:
        raise WeightsError(f"{file}: the file does not say which model it is of; name one of {', '.join(BUILDERS)}")
    if name not in BUILDERS:
        raise WeightsError(f"{file}: model must be one of {', '.join(BUILDERS)}, got {name!r}")
    return BUILDERS[name](pretrained_model=weights)
