"""What ChainerCV misses of itself: its C extension does not compile on Python 3.11 and later."""

from chainfpn._typing import Array
from chainfpn.compat.shims import Module, Patch, WarningFilter


def _nms_gpu_post(mask: Array, n_bbox: int, threads_per_block: int, col_blocks: int) -> tuple[Array, int]:
    """Pick the boxes that survive, in order, from the overlaps the GPU has found.

    Args:
        mask (array): uint64, (n_bbox * col_blocks,). Row i is a bit set over the boxes: bit j is set if j > i
            and box i, once selected, suppresses box j.
        n_bbox (int): Number of boxes.
        threads_per_block (int): Boxes per word of the mask.
        col_blocks (int): Words per row of the mask.

    Returns:
        tuple: int32 array (n_bbox,) whose first entries are the selected indices, and how many there are.
    """
    import numpy as np

    mask = mask.reshape(n_bbox, col_blocks)
    suppressed = np.zeros(col_blocks, dtype=np.uint64)
    selection = np.zeros(n_bbox, dtype=np.int32)
    n_selected = 0
    for i in range(n_bbox):
        word, bit = divmod(i, threads_per_block)
        if not (int(suppressed[word]) >> bit) & 1:
            selection[n_selected] = i
            n_selected += 1
            suppressed |= mask[i]
    return selection, n_selected


def _without_metadata() -> bool:
    """Return whether ChainerCV is there as a folder alone, such as a checkout on ``PYTHONPATH``."""
    import importlib.metadata

    try:
        importlib.metadata.version("chainercv")
    except importlib.metadata.PackageNotFoundError:
        return True
    return False


#: What both functions that assign regions to ground truth stack: a generator, which NumPy refuses.
_STACK = {
    "xp.hstack(\n        xp.array((l,) * len(rois[l])) for l in range(n_level))": "xp.hstack(\n"
    "        [xp.array((l,) * len(rois[l])) for l in range(n_level)])"
}


CHAINERCV = (
    Patch(
        "chainercv",
        since="ever, without its dist-info",
        needed_by="chainercv: __init__",
        stand_in="the version as a literal",
        replace={"pkg_resources.get_distribution('chainercv').version": "'0.13.1'"},
        applies=_without_metadata,
    ),
    *(
        Patch(
            f"chainercv.links.model.fpn.{head}:{head}_loss_pre",
            since="NumPy 1.24",
            needed_by=f"chainercv: {head}_loss_pre, in training",
            stand_in="a list, where a generator is stacked",
            replace=_STACK,
        )
        for head in ("bbox_head", "mask_head")
    ),
    Module(
        "chainercv.utils.bbox._nms_gpu_post",
        since="Python 3.11 (the shipped C file does not compile)",
        needed_by="chainercv: utils/bbox/non_maximum_suppression",
        stand_in="the same selection in NumPy",
        contents=lambda: {"_nms_gpu_post": _nms_gpu_post},
    ),
    WarningFilter(
        "Overriding method",
        since="Chainer 7",
        needed_by="chainercv: utils/testing/constant_stub_link, when ChainerCV is imported",
        category=DeprecationWarning,
        module=r"chainer\.utils\.meta",
    ),
    WarningFilter(
        r"unclosed file <_io\.TextIOWrapper name=.*null",
        since="ever, where warnings are shown",
        needed_by="chainercv: the two COCO evaluations, which quiet pycocotools",
        category=ResourceWarning,
        module="contextlib",
    ),
    WarningFilter(
        r"__array__ implementation doesn't accept a copy keyword",
        since="NumPy 2.0",
        needed_by="pycocotools: decoding masks",
        category=DeprecationWarning,
        module=r"pycocotools\.mask",
    ),
    WarningFilter(
        r"\*c\* argument looks like a single numeric RGB",
        since="Matplotlib 3",
        needed_by="chainercv: visualizations/vis_point",
        category=UserWarning,
        module=r"chainercv\.visualizations\.vis_point",
    ),
    WarningFilter(
        r"setDaemon\(\) is deprecated",
        since="Python 3.10",
        needed_by="chainer: iterators/multiprocess_iterator",
        category=DeprecationWarning,
        module=r"chainer\.iterators\.multiprocess_iterator",
    ),
)
