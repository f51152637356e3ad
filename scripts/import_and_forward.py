"""Import chainfpn, Chainer and ChainerCV and run a little of each; the smoke test of one environment.

    python -I -W error scripts/import_and_forward.py
    python -I -W error scripts/import_and_forward.py --chainer-first     # where the hook is in place

Prints one line and ends with status 0 if everything runs and nothing warns.
"""

import sys

if "--chainer-first" not in sys.argv:
    import chainfpn
import chainer
import chainer.functions as F
import chainer.links as L
import chainercv
import numpy as np
from chainer import dataset, distributions
from chainercv.links.model.fpn import bbox_head_loss_pre
from chainercv.utils import non_maximum_suppression

import chainfpn


def main():
    """Run one forward and backward pass, and the parts of ChainerCV that lean on names NumPy has dropped."""
    convolution = L.Convolution2D(3, 4, 3, pad=1)
    x = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
    h = F.resize_images(F.relu(convolution(x)), (16, 16))
    convolution.cleargrads()
    F.sum(h).backward()
    check("Convolution2D and resize_images", h.shape == (1, 4, 16, 16) and np.isfinite(convolution.W.grad).all())

    window = chainer.Variable(x[0, 0])
    F.sum(F.as_strided(window, (2, 2), (4, 4))).backward()
    check("as_strided", window.grad.sum() == 4)

    bbox = np.array([[0, 0, 4, 4], [0, 0, 4, 5], [5, 5, 9, 9]], dtype=np.float32)
    check("non_maximum_suppression", list(non_maximum_suppression(bbox, 0.5)) == [0, 2])

    fpn = chainercv.links.FasterRCNNFPNResNet50(n_fg_class=2, min_size=64, max_size=64)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        hs = fpn.extractor(x.repeat(8, axis=2).repeat(8, axis=3))
    check("FasterRCNNFPNResNet50.extractor", [h.shape[2] for h in hs] == [16, 8, 4, 2, 1])

    gt_label = np.array([0, 1, 1], dtype=np.int32)
    result = chainercv.evaluations.eval_detection_voc([bbox], [gt_label], [np.ones(3)], [bbox], [gt_label])
    check("eval_detection_voc", result["map"] == 1)

    bytes_ = [np.zeros(n, np.uint8) for n in (1, 2)]
    padded = [dataset.concat_examples(bytes_, padding=-1), F.pad_sequence(bytes_, padding=-1).array]
    check("padding with -1", [p.tolist() for p in padded] == [[[0, 255], [0, 0]]] * 2)

    log_p = distributions.Categorical(p=np.full((2, 4), 0.25, np.float32)).log_prob(np.array([0, 3]))
    check("Categorical.log_prob", np.allclose(np.exp(log_p.array), 0.25))

    gt_labels = bbox_head_loss_pre([bbox], [np.zeros(3, np.int32)], (0.1, 0.2), [bbox], [gt_label])[3]
    check("bbox_head_loss_pre", gt_labels[0].tolist() == [1, 2, 2])

    import chainer.links.caffe.caffe_function as caffe

    check("caffe_pb2", caffe.caffe_pb.NetParameter(name="a").name == "a")

    standing_in = [shim.name for shim in chainfpn.compat.TABLE if is_stand_in(shim.name)]
    print(f"ok on Python {sys.version.split()[0]}, NumPy {np.__version__}; stand-ins: {', '.join(standing_in)}")


def is_stand_in(name):
    """Return whether a module is imported and is one of chainfpn's stand-ins."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec is not None and spec.origin == "chainfpn.compat"


def check(what, holds):
    """End with a sentence if a result is not what it must be."""
    if not holds:
        sys.exit(f"import_and_forward: {what} gave a wrong result")


if __name__ == "__main__":
    main()
