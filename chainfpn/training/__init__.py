"""Training: a detector's losses as a chain, and what a trainer needs around it."""

from chainfpn.training.best_weights import BestWeights
from chainfpn.training.coco_evaluation import evaluate_coco
from chainfpn.training.evaluator import DetectionEvaluator, Evaluation, evaluate
from chainfpn.training.freezing import freeze, freeze_backbone
from chainfpn.training.gradient_clipping import GradientClipping
from chainfpn.training.multi_node import (
    AverageLosses,
    AverageStatistics,
    average_statistics,
    multi_node_optimizer,
    sync_norm,
)
from chainfpn.training.plot_metrics import PlotMetrics
from chainfpn.training.schedules import LearningRate, Schedule, cosine_schedule, step_schedule, warm_up
from chainfpn.training.snapshot import Snapshot, load_snapshot, save_snapshot
from chainfpn.training.statistics import recompute_statistics
from chainfpn.training.train_chain import TrainChain
from chainfpn.training.training_state import MixedPrecisionState, RandomState

__all__ = [
    "AverageLosses",
    "AverageStatistics",
    "BestWeights",
    "DetectionEvaluator",
    "Evaluation",
    "GradientClipping",
    "LearningRate",
    "MixedPrecisionState",
    "PlotMetrics",
    "RandomState",
    "Schedule",
    "Snapshot",
    "TrainChain",
    "average_statistics",
    "cosine_schedule",
    "evaluate",
    "evaluate_coco",
    "freeze",
    "freeze_backbone",
    "load_snapshot",
    "multi_node_optimizer",
    "recompute_statistics",
    "save_snapshot",
    "step_schedule",
    "sync_norm",
    "warm_up",
]
