"""A detector that is shown few pictures again and again, from nothing, finds everything in them."""

import chainer
import numpy as np
import pytest

from chainfpn import datasets, models
from chainfpn.training import GradientClipping, cosine_schedule, evaluate, warm_up
from reference.training import train_chain

SIZE, N_PICTURE, N_STEP, BATCH, LR = 64, 8, 200, 4, 2e-3

SLIM = {"stages": (1, 2), "fpn_channels": 32, "head_channels": 64, "norm": "batch", "min_size": SIZE, "max_size": SIZE}
FEW = {
    "rpn_pre_nms_top_n_train": 300,
    "rpn_post_nms_top_n_train": 100,
    "rpn_batch_size_per_image": 64,
    "box_batch_size_per_image": 32,
}


@pytest.mark.thorough
def test_eight_pictures_are_learnt_by_heart():
    """In as many steps as two cores take in much less than two minutes."""
    np.random.seed(0)
    data = datasets.ShapesDataset(N_PICTURE, SIZE)
    model = models.fasterrcnn_resnet_fpn(
        18, 3, anchor_sizes=((12,), (24,), (48,)), label_names=data.label_names, **SLIM
    )
    chain = train_chain(model, **FEW)
    optimizer = chainer.optimizers.Adam().setup(chain)
    optimizer.add_hook(GradientClipping(10))
    schedule = warm_up(cosine_schedule(LR, N_STEP, final=0.02), 10, start=0.1)
    iterator = chainer.iterators.SerialIterator([data[i] for i in range(N_PICTURE)], BATCH)
    assert evaluate(model, data).voc()["circle"] < 0.1
    for step in range(N_STEP):
        optimizer.alpha = schedule(step)
        optimizer.update(chain, *datasets.collate(next(iterator), None))
    ap = evaluate(model, data).voc()
    assert ap.keys() == {"circle", "square", "triangle"}
    assert np.mean(list(ap.values())) >= 0.95, ap
