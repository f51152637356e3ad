"""The chain for a detector."""

from chainfpn.links.detectors.faster_rcnn import FasterRCNN
from chainfpn.links.detectors.fcos import FCOS
from chainfpn.links.detectors.keypoint_rcnn import KeypointRCNN
from chainfpn.links.detectors.mask_rcnn import MaskRCNN
from chainfpn.links.detectors.retinanet import RetinaNet
from chainfpn.links.detectors.ssd import SSD
from chainfpn.training.dense_chains import FCOSTrainChain, RetinaNetTrainChain, SSDTrainChain
from chainfpn.training.rcnn_chains import FasterRCNNTrainChain, KeypointRCNNTrainChain, MaskRCNNTrainChain

#: Detector to its chain; a subclass of a detector has its parent's.
CHAINS = {
    FasterRCNN: FasterRCNNTrainChain,
    MaskRCNN: MaskRCNNTrainChain,
    KeypointRCNN: KeypointRCNNTrainChain,
    RetinaNet: RetinaNetTrainChain,
    FCOS: FCOSTrainChain,
    SSD: SSDTrainChain,
}


def train_chain(model, **options):
    """Wrap a detector into the chain that computes its losses.

    Args:
        model (chainfpn.links.Detector): The detector.
        **options: Those of the chain, with torchvision's names and values: see
            :class:`~chainfpn.training.FasterRCNNTrainChain` and its relatives.

    Returns:
        chainfpn.training.TrainChain: Its ``model`` is the detector.

    Raises:
        TypeError: if there is no chain for the detector.

    Example:
        >>> import numpy as np
        >>> from chainfpn import models
        >>> model = models.fasterrcnn_resnet_fpn(18, n_fg_class=1, stages=(1, 2), min_size=64, max_size=64)
        >>> chain = train_chain(model, box_batch_size_per_image=64)
        >>> img = np.zeros((3, 64, 64), np.float32)
        >>> loss = chain([img], [np.array([[8, 8, 40, 48]], np.float32)], [np.array([0], np.int32)])
        >>> chain.cleargrads()
        >>> loss.backward()
    """
    for kind in type(model).__mro__:
        if kind in CHAINS:
            return CHAINS[kind](model, **options)
    known = ", ".join(kind.__name__ for kind in CHAINS)
    raise TypeError(f"train_chain: model must be one of {known}, got {type(model).__name__}")
