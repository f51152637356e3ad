"""Small trainings: a command's options, and chains with options of training by torchvision's names."""

from chainfpn.training import TrainChain

#: Options of ``chainfpn train`` for a small network and a short warm-up.
SLIM_TRAINING = (
    *("--set", "depth=18", "--set", "stages=[1,2]", "--set", "fpn_channels=8", "--set", "head_channels=8"),
    *("--set", "min_size=48", "--set", "max_size=64", "--loss", "box_batch_size_per_image=16", "--warm-up", "2"),
)


def train_chain(model, *, permutation=None, **options):
    """Set options on the parts of a detector that have them, and wrap it into its losses.

    Args:
        model (chainfpn.links.Detector): The detector.
        permutation (callable or None): Draws the samples of both stages; they stay random by default.
        **options: ``rpn_...`` of the region proposal network, ``box_...`` of the heads, others of the detector.

    Returns:
        chainfpn.training.TrainChain: The chain.
    """
    for name, value in options.items():
        prefix, _, rest = name.partition("_")
        part = {"rpn": "rpn", "box": "roi_heads"}.get(prefix)
        setattr(*((model, name) if part is None else (getattr(model, part), rest)), value)
    if permutation is not None and hasattr(model, "rpn"):
        model.rpn.permutation = model.roi_heads.permutation = permutation
    return TrainChain(model)
