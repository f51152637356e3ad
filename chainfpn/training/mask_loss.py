"""Loss of the mask branch."""

from chainer import backend

from chainfpn.functions._binary_cross_entropy import binary_cross_entropy
from chainfpn.functions._gather_class import gather_class
from chainfpn.functions._resize_nearest import resize_nearest
from chainfpn.functions._roi_align import roi_align
from chainfpn.training.roi_loss import positive_rows


def mask_loss(logits, regions, masks, sizes):
    """Compute the mean binary cross entropy of the masks of what was found, each of the right class alone.

    The truth is resized to the batch (nearest neighbour), then cut out by ``roi_align``.

    Args:
        logits (Variable): (P, K, S, S), of the regions that show something, those of the first image first; P > 0.
        regions (list of SampledProposals): Per image.
        masks (list of array): Per image, bool, (R_i, H_i, W_i), in pixels of the image.
        sizes (sequence of (int, int)): Height and width of each image within the batch.

    Returns:
        Variable: float32 or float64, ().

    Source:
        He et al. 2017, section 3; torchvision 0.14 ``maskrcnn_loss``.
    """
    xp = backend.get_array_module(regions[0].output)
    _, output = positive_rows(regions)
    targets = [
        crop_masks(mask, size, region, logits.shape[3])
        for mask, size, region in zip(masks, sizes, regions, strict=True)
        if len(region.matched)
    ]
    target = xp.concatenate(targets)  # (P, S, S)
    found = gather_class(logits, xp.arange(len(output)), output, logits.shape[2:])  # (P, S, S)
    return binary_cross_entropy(found, target, divisor=target.size)


def crop_masks(mask, size, region, side):
    """Cut the masks of the objects in an image out where the regions that show them are.

    Args:
        mask (array): bool, (R, H, W), in pixels of the image.
        size ((int, int)): Height and width of the image within the batch.
        region (SampledProposals): The regions of the image.
        side (int): Rows and columns of the result.

    Returns:
        array: dtype of the regions, (P, side, side), how much of each cell is covered.

    Source:
        torchvision 0.14 ``project_masks_on_boxes``.
    """
    xp = backend.get_array_module(region.bbox)
    used, matched = xp.unique(region.matched, return_inverse=True)  # (U,), (P,)
    mask = mask[used].astype(region.bbox.dtype)[None]  # (1, U, H, W)
    whole = tuple(round(side) for side in size)  # ChainerCV's sizes are not whole
    if mask.shape[2:] != whole:
        mask = resize_nearest(mask, whole).array  # (1, U, H', W')
    mask = mask.transpose(1, 0, 2, 3)  # (U, 1, H', W')
    rois = region.bbox[region.output > 0]  # (P, 4)
    return roi_align(mask, rois, matched.astype("int32"), side, 1.0).array[:, 0]
