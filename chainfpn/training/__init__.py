"""Training: the losses of every detector, and what a trainer needs around them."""

from chainfpn.training.chain import TrainChain
from chainfpn.training.rcnn_chains import FasterRCNNTrainChain
from chainfpn.training.train_chain import train_chain

__all__ = [
    "FasterRCNNTrainChain",
    "TrainChain",
    "train_chain",
]
