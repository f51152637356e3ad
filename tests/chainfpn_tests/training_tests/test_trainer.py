"""Training as any Chainer user writes it: nothing but Chainer's and ChainerCV's own extensions."""

import io
import json

import chainer
import numpy as np
import pytest
from chainer.training import extensions
from chainercv.extensions import DetectionCOCOEvaluator, DetectionVOCEvaluator

from chainfpn import datasets, models
from reference.arrays import assert_same_arrays, saved
from reference.training import train_chain

SLIM = {"stages": (2, 3), "fpn_channels": 8, "head_channels": 8, "min_size": 48, "max_size": 48}
PARTS = ("rpn_objectness", "rpn_box", "roi_class", "roi_box")
COLUMNS = ("epoch", "main/loss", *(f"main/loss/{part}" for part in PARTS), "validation/main/map")


def make_trainer(out, n_epoch, screen):
    """Make a trainer: three steps an epoch, of which nothing is random but the first weights."""
    np.random.seed(0)
    train, validation = datasets.ShapesDataset(6, 48), datasets.ShapesDataset(2, 48, seed=1)
    model = models.fasterrcnn_resnet_fpn(18, 3, label_names=train.label_names, **SLIM)
    chain = train_chain(model, box_batch_size_per_image=16, permutation=np.arange)
    optimizer = chainer.optimizers.MomentumSGD(0.01).setup(chain)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(1e-4))
    iterator = chainer.iterators.SerialIterator(train, 2, shuffle=False)
    updater = chainer.training.StandardUpdater(iterator, optimizer, converter=datasets.collate)
    trainer = chainer.training.Trainer(updater, (n_epoch, "epoch"), out)

    validation.add_getter("crowded", lambda i: np.zeros(len(validation.read(i, ["bbox"])[0]), bool))
    validation.keys = ("img", "bbox", "label", "area", "crowded")
    for kind, keys in (
        (DetectionVOCEvaluator, ("img", "bbox", "label")),
        (DetectionCOCOEvaluator, ("img", "bbox", "label", "area", "crowded")),
    ):
        seen = validation.slice[:, keys]
        iterator = chainer.iterators.SerialIterator(seen, 2, repeat=False, shuffle=False)
        trainer.extend(kind(iterator, model, label_names=train.label_names))  # as validation, and as validation_1
    trainer.extend(extensions.LogReport())
    trainer.extend(extensions.PrintReport(COLUMNS, out=screen))
    trainer.extend(extensions.ProgressBar(update_interval=1))
    trainer.extend(extensions.PlotReport(["main/loss"], trigger=(1, "epoch"), filename="loss.png"))
    trainer.extend(extensions.snapshot(filename="snapshot_{.updater.epoch}.npz"))
    trainer.extend(extensions.ExponentialShift("lr", 0.5), trigger=(1, "epoch"))
    return trainer


@pytest.mark.slow
def test_a_plain_trainer_with_chainers_own_extensions(tmp_path, capsys):
    pytest.importorskip("pycocotools")
    pytest.importorskip("matplotlib").use("Agg")
    screen = io.StringIO()
    trainer = make_trainer(tmp_path, 2, screen)
    trainer.run()
    first, second = json.loads((tmp_path / "log").read_text())
    assert (first["iteration"], second["iteration"]) == (3, 6)
    for entry in (first, second):
        assert entry["main/loss"] == pytest.approx(sum(entry[f"main/loss/{part}"] for part in PARTS), rel=1e-5)
        assert 0 <= entry["validation/main/map"] <= 1
        assert 0 <= entry["validation_1/main/map/iou=0.50:0.95/area=all/max_dets=100"] <= 1
    assert second["main/loss"] != first["main/loss"]
    assert screen.getvalue().split()[: len(COLUMNS)] == list(COLUMNS)
    assert "6 iter, 2 epoch / 2 epochs" in capsys.readouterr().out
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")

    resumed = make_trainer(tmp_path / "resumed", 2, io.StringIO())
    chainer.serializers.load_npz(tmp_path / "snapshot_1.npz", resumed)
    assert resumed.updater.iteration == 3
    resumed.run()
    whole, again = (saved(t.updater.get_optimizer("main").target) for t in (trainer, resumed))
    assert_same_arrays(again, whole)
    assert json.loads((tmp_path / "resumed" / "log").read_text())[1]["main/loss"] == second["main/loss"]


def test_mixed_precision_trains():
    """The weights that are updated are float32, of which the network has the rounding."""
    np.random.seed(0)
    batch = datasets.collate([datasets.ShapesDataset(2, 48)[i] for i in range(2)], None)
    with chainer.using_config("dtype", chainer.mixed16):
        model = models.fasterrcnn_resnet_fpn(18, 3, **SLIM)
        chain = train_chain(model, box_batch_size_per_image=16, permutation=np.arange)
        optimizer = chainer.optimizers.MomentumSGD(1e-3)
        optimizer.use_fp32_update()
        optimizer.loss_scaling()
        optimizer.setup(chain)
        before = {name: param.array.copy() for name, param in chain.namedparams()}
        reporter, scales, losses = chainer.Reporter(), [], []
        reporter.add_observer("main", chain)
        for _ in range(6):
            scales.append(optimizer._loss_scale)
            with reporter.scope({}):
                optimizer.update(chain, *batch)
                losses.append(float(reporter.observation["main/loss"].array))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert scales == [1, 2, 4, 8, 16, 32]  # Chainer's: twice as much until something overflows
    still = []
    for name, param in chain.namedparams():
        assert param.dtype == np.float16, name
        master = param.update_rule._fp32_param.array
        assert master.dtype == np.float32, name
        np.testing.assert_array_equal(master.astype(np.float16), param.array)
        if (master == before[name]).all():
            still.append(name)
    assert still == []


def test_the_graph_of_the_loss_is_dumped_and_not_kept(tmp_path):
    """As in ChainerCV's examples; otherwise the observed loss has no graph, and holds no memory."""
    data = datasets.ShapesDataset(2, 48)
    chain = train_chain(models.fasterrcnn_resnet_fpn(18, 3, **SLIM), box_batch_size_per_image=16)
    optimizer = chainer.optimizers.MomentumSGD(1e-3).setup(chain)
    iterator = chainer.iterators.SerialIterator(data, 1)
    updater = chainer.training.updaters.StandardUpdater(iterator, optimizer, converter=datasets.collate)
    trainer = chainer.training.Trainer(updater, (2, "iteration"), out=tmp_path)
    trainer.extend(chainer.training.extensions.dump_graph("main/loss"))
    trainer.run()
    graph = (tmp_path / "cg.dot").read_text()
    assert graph.startswith("digraph")
    assert graph.count("->") > 100
    assert trainer.observation["main/loss"].creator is None
