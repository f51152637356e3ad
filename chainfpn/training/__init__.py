"""Training: a detector's losses as a chain, and what a trainer needs around it."""

from chainfpn.training.best_weights import BestWeights as BestWeights
from chainfpn.training.coco_evaluation import evaluate_coco as evaluate_coco
from chainfpn.training.evaluator import DetectionEvaluator as DetectionEvaluator
from chainfpn.training.evaluator import Evaluation as Evaluation
from chainfpn.training.evaluator import evaluate as evaluate
from chainfpn.training.freezing import freeze as freeze
from chainfpn.training.freezing import freeze_backbone as freeze_backbone
from chainfpn.training.gradient_clipping import GradientClipping as GradientClipping
from chainfpn.training.multi_node import AverageLosses as AverageLosses
from chainfpn.training.multi_node import AverageStatistics as AverageStatistics
from chainfpn.training.multi_node import average_statistics as average_statistics
from chainfpn.training.multi_node import multi_node_optimizer as multi_node_optimizer
from chainfpn.training.multi_node import sync_norm as sync_norm
from chainfpn.training.plot_metrics import PlotMetrics as PlotMetrics
from chainfpn.training.schedules import LearningRate as LearningRate
from chainfpn.training.schedules import Schedule as Schedule
from chainfpn.training.schedules import cosine_schedule as cosine_schedule
from chainfpn.training.schedules import step_schedule as step_schedule
from chainfpn.training.schedules import warm_up as warm_up
from chainfpn.training.snapshot import MixedPrecisionState as MixedPrecisionState
from chainfpn.training.snapshot import RandomState as RandomState
from chainfpn.training.snapshot import Snapshot as Snapshot
from chainfpn.training.snapshot import load_snapshot as load_snapshot
from chainfpn.training.snapshot import save_snapshot as save_snapshot
from chainfpn.training.statistics import recompute_statistics as recompute_statistics
from chainfpn.training.train_chain import TrainChain as TrainChain
