"""Models by torchvision's names, with their weights.

Importing this package needs neither Chainer nor NumPy: a builder imports its links when it is called.
"""

from typing import TYPE_CHECKING, Any

from chainfpn.models._record import COCO_CLASS_IDS
from chainfpn.models.densenet import *  # noqa: F403
from chainfpn.models.faster_rcnn import *  # noqa: F403
from chainfpn.models.fcos import *  # noqa: F403
from chainfpn.models.inception import *  # noqa: F403
from chainfpn.models.keypoint_rcnn import *  # noqa: F403
from chainfpn.models.kuangliu import *  # noqa: F403
from chainfpn.models.mask_rcnn import *  # noqa: F403
from chainfpn.models.mobilenet import *  # noqa: F403
from chainfpn.models.registry import MODELS, find_weight_file, get_model, list_models, list_weights
from chainfpn.models.resnet import *  # noqa: F403
from chainfpn.models.retinanet import *  # noqa: F403
from chainfpn.models.squeezenet import *  # noqa: F403
from chainfpn.models.ssd import *  # noqa: F403
from chainfpn.models.vgg import *  # noqa: F403

if TYPE_CHECKING:
    from chainfpn.models._weights import load

__all__ = [*MODELS, "COCO_CLASS_IDS", "MODELS", "find_weight_file", "get_model", "list_models", "list_weights", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from chainfpn.models._weights import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
