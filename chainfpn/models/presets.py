"""Every weight file that torchvision 0.14 publishes for the models here, and what it takes to use it: data only.

Where the oldest torchvisions had another file, in PyTorch's older serialisation, that stands beside it as FIRST.

Source: ``WeightsEnum`` members of torchvision 0.14 (files, figures, image sizes, ``overwrite_eps``); ``model_urls`` of
torchvision 0.1 to 0.9, for the DenseNets of 0.1 (the first files).
"""

from typing import NamedTuple

from chainfpn.links.classifier import ClassifierPreprocess
from chainfpn.links.detectors.preprocess import IMAGENET_MEAN, IMAGENET_STD

URL = "https://download.pytorch.org/models/"

#: Mean and deviation of the input; CAFFE subtracts a mean colour from pixels in 0..255 and divides by nothing.
IMAGENET = (IMAGENET_MEAN, IMAGENET_STD)
CAFFE = ((0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255))


class Preset(NamedTuple):
    """One published file.

    Attributes:
        file (str): Its name.
        figures (dict): As published: ``top1`` on ImageNet's validation set; ``box``, ``mask`` and ``keypoint`` AP on
            COCO val2017. In percent.
        eps (float or None): What the batch normalizations of the trunk add to the variance; None if it has none.
        label_names (str, tuple of str or None): The labels, or the word that :func:`resolve_label_names` knows them by.
        resize (int or None): The shorter side a classifier's images are brought to; None for detectors, which say it
            themselves.
        crop (int or None): The square a classifier then sees.
        mean (sequence of float): Of the input, per channel, for pixels in 0..1.
        std (sequence of float): The same.
        arguments (dict): What the builder must be told besides, by its keywords.
    """

    file: str
    figures: dict
    eps: float | None
    label_names: str | None
    resize: int | None
    crop: int | None
    mean: tuple
    std: tuple
    arguments: dict

    @property
    def url(self):
        """str: Where the file is published."""
        return URL + self.file

    @property
    def sha256(self):
        """str: The first eight hexadecimal digits of the file's hash."""
        return self.file.rpartition(".")[0].rpartition("-")[2]

    @property
    def preprocess(self):
        """ClassifierPreprocess: what turns an image into the input, for a classifier."""
        return ClassifierPreprocess(self.resize, self.crop, self.mean, self.std)


def _classifier(
    file,
    top1=None,
    *,
    eps=1e-5,
    label_names="imagenet",
    resize=256,
    crop=224,
    statistics=IMAGENET,
    **arguments,
):
    figures = {} if top1 is None else {"top1": top1}
    return Preset(f"{file}.pth", figures, eps, label_names, resize, crop, *statistics, arguments)


def _detector(file, *, eps=1e-5, label_names="coco", statistics=IMAGENET, **figures):
    return Preset(
        f"{file}.pth", figures, eps, label_names, None, None, *statistics, {"norm_eps": eps} if eps == 0 else {}
    )


V1, V2, FIRST, COCO_V1, COCO_LEGACY = "IMAGENET1K_V1", "IMAGENET1K_V2", "FIRST", "COCO_V1", "COCO_LEGACY"

#: Builder to torchvision's name of the weights to the file.
PRESETS = {
    "alexnet": {
        V1: _classifier("alexnet-owt-7be5be79", 56.522, eps=None),
        FIRST: _classifier("alexnet-owt-4df8aa71", eps=None),
    },
    "vgg11": {V1: _classifier("vgg11-8a719046", 69.02, eps=None), FIRST: _classifier("vgg11-bbd30ac9", eps=None)},
    "vgg11_bn": {V1: _classifier("vgg11_bn-6002323d", 70.37)},
    "vgg13": {V1: _classifier("vgg13-19584684", 69.928, eps=None), FIRST: _classifier("vgg13-c768596a", eps=None)},
    "vgg13_bn": {V1: _classifier("vgg13_bn-abd245e5", 71.586)},
    "vgg16": {
        V1: _classifier("vgg16-397923af", 71.592, eps=None),
        "IMAGENET1K_FEATURES": _classifier(
            "vgg16_features-amdegroot-88682ab5", eps=None, label_names=None, statistics=CAFFE
        ),
    },
    "vgg16_bn": {V1: _classifier("vgg16_bn-6c64b313", 73.36)},
    "vgg19": {V1: _classifier("vgg19-dcbb9e9d", 72.376, eps=None)},
    "vgg19_bn": {V1: _classifier("vgg19_bn-c79401a0", 74.218)},
    "resnet18": {V1: _classifier("resnet18-f37072fd", 69.758), FIRST: _classifier("resnet18-5c106cde")},
    "resnet34": {V1: _classifier("resnet34-b627a593", 73.314), FIRST: _classifier("resnet34-333f7ec4")},
    "resnet50": {
        V1: _classifier("resnet50-0676ba61", 76.13),
        V2: _classifier("resnet50-11ad3fa6", 80.858, resize=232),
        FIRST: _classifier("resnet50-19c8e357"),
    },
    "resnet101": {
        V1: _classifier("resnet101-63fe2227", 77.374),
        V2: _classifier("resnet101-cd907fc2", 81.886, resize=232),
        FIRST: _classifier("resnet101-5d3b4d8f"),
    },
    "resnet152": {
        V1: _classifier("resnet152-394f9c45", 78.312),
        V2: _classifier("resnet152-f82ba261", 82.284, resize=232),
        FIRST: _classifier("resnet152-b121ed2d"),
    },
    "resnext50_32x4d": {
        V1: _classifier("resnext50_32x4d-7cdf4587", 77.618),
        V2: _classifier("resnext50_32x4d-1a0047aa", 81.198, resize=232),
    },
    "resnext101_32x8d": {
        V1: _classifier("resnext101_32x8d-8ba56ff5", 79.312),
        V2: _classifier("resnext101_32x8d-110c445d", 82.834, resize=232),
    },
    "resnext101_64x4d": {V1: _classifier("resnext101_64x4d-173b62eb", 83.246, resize=232)},
    "wide_resnet50_2": {
        V1: _classifier("wide_resnet50_2-95faca4d", 78.468),
        V2: _classifier("wide_resnet50_2-9ba9bcbe", 81.602, resize=232),
    },
    "wide_resnet101_2": {
        V1: _classifier("wide_resnet101_2-32ee1156", 78.848),
        V2: _classifier("wide_resnet101_2-d733dc28", 82.51, resize=232),
    },
    "densenet121": {V1: _classifier("densenet121-a639ec97", 74.434), FIRST: _classifier("densenet121-241335ed")},
    "densenet161": {V1: _classifier("densenet161-8d451a50", 77.138), FIRST: _classifier("densenet161-17b70270")},
    "densenet169": {V1: _classifier("densenet169-b2777c0a", 75.6), FIRST: _classifier("densenet169-6f0f7f60")},
    "densenet201": {V1: _classifier("densenet201-c1103571", 76.896), FIRST: _classifier("densenet201-4c113574")},
    "squeezenet1_0": {
        V1: _classifier("squeezenet1_0-b66bff10", 58.092, eps=None),
        FIRST: _classifier("squeezenet1_0-a815701f", eps=None),
    },
    "squeezenet1_1": {
        V1: _classifier("squeezenet1_1-b8a52dc0", 58.178, eps=None),
        FIRST: _classifier("squeezenet1_1-f364aa15", eps=None),
    },
    "inception_v3": {
        V1: _classifier("inception_v3_google-0cc3c7bd", 77.294, eps=1e-3, resize=342, crop=299, transform_input=True),
        FIRST: _classifier("inception_v3_google-1a9a5a14", eps=1e-3, resize=342, crop=299, transform_input=True),
    },
    "googlenet": {  # its auxiliary heads were never trained
        V1: _classifier("googlenet-1378be20", 69.778, eps=1e-3, transform_input=True, aux_logits=False),
    },
    "mobilenet_v2": {
        V1: _classifier("mobilenet_v2-b0353104", 71.878),
        V2: _classifier("mobilenet_v2-7ebf99e0", 72.154, resize=232),
    },
    "mobilenet_v3_large": {
        V1: _classifier("mobilenet_v3_large-8738ca79", 74.042, eps=1e-3),
        V2: _classifier("mobilenet_v3_large-5c1a4163", 75.274, eps=1e-3, resize=232),
    },
    "mobilenet_v3_small": {V1: _classifier("mobilenet_v3_small-047dcff4", 67.668, eps=1e-3)},
    "fasterrcnn_resnet50_fpn": {COCO_V1: _detector("fasterrcnn_resnet50_fpn_coco-258fb6c6", box=37.0, eps=0.0)},
    "fasterrcnn_resnet50_fpn_v2": {COCO_V1: _detector("fasterrcnn_resnet50_fpn_v2_coco-dd69338a", box=46.7)},
    "fasterrcnn_mobilenet_v3_large_fpn": {COCO_V1: _detector("fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7", box=32.8)},
    "fasterrcnn_mobilenet_v3_large_320_fpn": {
        COCO_V1: _detector("fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9", box=22.8),
    },
    "maskrcnn_resnet50_fpn": {COCO_V1: _detector("maskrcnn_resnet50_fpn_coco-bf2d0c1e", box=37.9, mask=34.6, eps=0.0)},
    "maskrcnn_resnet50_fpn_v2": {COCO_V1: _detector("maskrcnn_resnet50_fpn_v2_coco-73cbd019", box=47.4, mask=41.8)},
    "keypointrcnn_resnet50_fpn": {
        COCO_V1: _detector(
            "keypointrcnn_resnet50_fpn_coco-fc266e95", box=54.6, keypoint=65.0, eps=0.0, label_names=("person",)
        ),
        COCO_LEGACY: _detector(
            "keypointrcnn_resnet50_fpn_coco-9f466800", box=50.6, keypoint=61.1, label_names=("person",)
        ),
    },
    "retinanet_resnet50_fpn": {COCO_V1: _detector("retinanet_resnet50_fpn_coco-eeacb38b", box=36.4, eps=0.0)},
    "retinanet_resnet50_fpn_v2": {COCO_V1: _detector("retinanet_resnet50_fpn_v2_coco-5905b1c5", box=41.5)},
    "fcos_resnet50_fpn": {COCO_V1: _detector("fcos_resnet50_fpn_coco-99b0c9b7", box=39.2)},
    "ssd300_vgg16": {COCO_V1: _detector("ssd300_vgg16_coco-b556d3b4", box=25.1, eps=None, statistics=CAFFE)},
}


def find_preset(sha256):
    """Find the published file of a hash.

    Args:
        sha256 (str or None): Its sha256 in hexadecimal digits, all 64 of them.

    Returns:
        Preset or None: None if torchvision publishes no such file for these models.
    """
    files = (preset for files in PRESETS.values() for preset in files.values())
    return next((preset for preset in files if sha256 and sha256.startswith(preset.sha256)), None)
