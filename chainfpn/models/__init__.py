"""Models by torchvision's names, with their weights.

Importing this package needs no Chainer: a builder imports its links when it is called.

Every builder takes the number of classes (``n_class`` of a classifier, by default as many as the weights have or else
1000, 0 for a trunk without a head; ``n_fg_class`` of a detector, background excluded, by default COCO's 80 on
torchvision's 91 class ids) and ``pretrained_model`` (str, os.PathLike or None): a word for torchvision's weights, such
as ``'imagenet'``, ``'imagenet_v2'`` or ``'coco'``, or the path of an .npz or of a checkpoint to convert on the fly.
``depth`` of a detector on any trunk (int, str or None) is that of a ResNet, 50 by default, or the name of a classifier
whose record in ``MODELS`` has ``stages``. The other options are keywords, which a TypedDict beside the builder
describes; what is left out is what ``__meta__`` of the weights says, and if there is nothing, the default.
:meth:`~chainfpn.models.registry.Model.options` has their names.

A classifier maps (B, 3, H, W) to (B, n_class) class scores, without a head to its last map, or to what its ``pick``
names; a pyramid to its levels; a detector is called with a prepared batch, or through ``detect`` and ``predict``. A
builder raises TypeError if there is no such option, ValueError if one is out of its range, WeightsError if the weights
do not fit, and OSError if they cannot be read or fetched.
"""

from typing import TYPE_CHECKING, Any

from chainfpn.models._record import COCO_CLASS_IDS
from chainfpn.models.backbone import *  # noqa: F403
from chainfpn.models.cascade_rcnn import *  # noqa: F403
from chainfpn.models.convnext import *  # noqa: F403
from chainfpn.models.densenet import *  # noqa: F403
from chainfpn.models.efficientnet import *  # noqa: F403
from chainfpn.models.faster_rcnn import *  # noqa: F403
from chainfpn.models.fcos import *  # noqa: F403
from chainfpn.models.inception import *  # noqa: F403
from chainfpn.models.keypoint_rcnn import *  # noqa: F403
from chainfpn.models.kuangliu import *  # noqa: F403
from chainfpn.models.mask_rcnn import *  # noqa: F403
from chainfpn.models.mobilenet import *  # noqa: F403
from chainfpn.models.registry import MODELS, find_weight_file, get_model, list_models, list_weights
from chainfpn.models.regnet import *  # noqa: F403
from chainfpn.models.resnet import *  # noqa: F403
from chainfpn.models.retinanet import *  # noqa: F403
from chainfpn.models.squeezenet import *  # noqa: F403
from chainfpn.models.ssd import *  # noqa: F403
from chainfpn.models.swin_transformer import *  # noqa: F403
from chainfpn.models.vgg import *  # noqa: F403

if TYPE_CHECKING:
    from chainfpn.models._weights import load

__all__ = [*MODELS, "COCO_CLASS_IDS", "MODELS", "find_weight_file", "get_model", "list_models", "list_weights", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from chainfpn.models._weights import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
