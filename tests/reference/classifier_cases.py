"""Every classifier with seeded weights: the cases, torchvision's answers, and a few of them kept for those without it.

Run this file to write the answers kept: ``python tests/reference/classifier_cases.py``.
"""

import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent

#: The answers kept: builder to the logits of the first image.
GOLDEN = HERE / "golden_classifiers.json"

#: Classes and images; neither is the default.
N_CLASS, N_IMAGE = 7, 2

_SIZES = ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")

#: Family to the size of the images, the inner layer that is looked at, and the builders. Sizes are odd, and near the
#: smallest the family takes.
FAMILIES = {
    "alexnet": ((67, 79), "features", ["alexnet"]),
    "vgg": ((37, 45), "features", [f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("_bn", "")]),
    "resnet": (
        (65, 79),
        "layer3",
        [
            *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
            *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
        ],
    ),
    "densenet": ((65, 79), "features", [f"densenet{depth}" for depth in (121, 161, 169, 201)]),
    "squeezenet": ((65, 79), "features", ["squeezenet1_0", "squeezenet1_1"]),
    "googlenet": ((65, 79), "inception4d", ["googlenet"]),
    "inception": ((91, 107), "Mixed_6e", ["inception_v3"]),
    "mobilenet_v2": ((65, 79), "features", ["mobilenet_v2"]),
    "mobilenet_v3": ((65, 79), "features", ["mobilenet_v3_large", "mobilenet_v3_small"]),
    "regnet_y": ((65, 79), "trunk_output", [f"regnet_y_{size}" for size in (*_SIZES, "128gf")]),
    "regnet_x": ((65, 79), "trunk_output", [f"regnet_x_{size}" for size in _SIZES]),
    "efficientnet": ((65, 79), "features", [f"efficientnet_b{i}" for i in range(8)]),
    "efficientnet_v2": ((65, 79), "features", [f"efficientnet_v2_{size}" for size in "sml"]),
    "swin": ((65, 79), "norm", ["swin_t", "swin_s", "swin_b"]),
    "swin_v2": ((65, 79), "norm", ["swin_v2_t", "swin_v2_s", "swin_v2_b"]),
    "convnext": ((65, 79), "features", [f"convnext_{size}" for size in ("tiny", "small", "base", "large")]),
}

#: Families whose first builder is the smallest, and stands for the others unless all are asked for.
ONE_STANDS_FOR_ALL = ("regnet_y", "regnet_x", "efficientnet", "efficientnet_v2", "swin", "swin_v2", "convnext")

#: The smallest of each of them, and what it stands for.
SMALLEST = {FAMILIES[family][2][0] for family in ONE_STANDS_FOR_ALL}
LARGER = {builder for family in ONE_STANDS_FOR_ALL for builder in FAMILIES[family][2][1:]}

#: Builders that are also run in float64.
DOUBLE = {builders[0] for _, _, builders in FAMILIES.values()} | LARGER

#: By what arrays are multiplied, by family: without it rounding errors grow from block to block in the deepest.
GAINS = {
    "efficientnet_v2": [("block/[13]/1/gamma", 0.5)],
    "swin": [("qkv/W", 0.5)],
    "swin_v2": [("logit_scale", 0.3), ("attn/.*/W", 0.5)],
}

_CODE = """
import sys
from PIL import Image
sys.path.insert(0, str(folder))
from classifier_cases import DOUBLE, FAMILIES, GAINS, N_CLASS, N_IMAGE
from seeded_weights import fill_module, seeded_input, skip_initial_values

skip_initial_values()
size, layer, _ = FAMILIES[str(inputs["family"])]
builders = inputs["builders"].tolist()
x = torch.from_numpy(seeded_input(N_IMAGE, 3, *size))
for builder in builders:
    model = getattr(torchvision.models, builder)(num_classes=N_CLASS).eval()
    fill_module(model, gains=GAINS.get(str(inputs["family"]), ()))
    outputs[f"{builder} parameters"] = np.array(sum(p.numel() for p in model.parameters()))
    seen = {}
    getattr(model, layer).register_forward_hook(lambda module, args, out: seen.update(inner=out.clone()))
    for dtype in (torch.float32, torch.float64)[: 2 if builder in DOUBLE else 1]:
        with torch.no_grad():
            outputs[f"{builder} {dtype} logits"] = model.to(dtype)(x.to(dtype))
        outputs[f"{builder} {dtype} inner"] = seen["inner"].permute(0, 3, 1, 2) if layer == "norm" else seen["inner"]
    imgs = [Image.fromarray(inputs[name]) for name in sorted(inputs) if name.startswith("photograph")]
    if builder == FAMILIES[str(inputs["family"])][2][0] and imgs:
        transform = torchvision.models.get_model_weights(builder).IMAGENET1K_V1.transforms()
        model.transform_input = builder in ("googlenet", "inception_v3")  # whose published files want pixels in -1..1
        with torch.no_grad():
            logits = model.float()(torch.stack([transform(img) for img in imgs]))
        outputs[f"{builder} scores"] = logits.softmax(dim=1)
"""


def together(builder):
    """Return the builders that torchvision is asked for at once.

    Args:
        builder (str): One of them.

    Returns:
        tuple of str: All of a family, or this one.
    """
    family, builders = next((name, names) for name, (_, _, names) in FAMILIES.items() if builder in names)
    return (builder,) if family in ONE_STANDS_FOR_ALL else tuple(builders)


def theirs(live, builders, photographs=()):
    """Return the answers of torchvision.

    Args:
        live (TorchvisionLive): The interpreter that has it.
        builders (sequence of str): Which classifiers, of one family.
        photographs (sequence of array): uint8, (H, W, 3), RGB, for the first of the family.

    Returns:
        dict: ``'{builder} parameters'``, and ``'{builder} torch.{dtype} logits'`` and ``inner`` (what the inner layer
        gives); with photographs ``'{builder} scores'``, the probabilities after the transform of its published weights.
    """
    images = {f"photograph {i}": img for i, img in enumerate(photographs)}
    family = next(name for name, (_, _, names) in FAMILIES.items() if builders[0] in names)
    return live.run(_CODE, folder=HERE, family=family, builders=np.array(builders), **images)


def golden():
    """Read the answers kept.

    Returns:
        dict: Builder to a list of logits.
    """
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def _write_golden(live):
    kept = {}
    for builder in (builder for _, _, builders in FAMILIES.values() for builder in builders):
        answers = theirs(live, [builder])
        kept[builder] = [float(f"{value:.6g}") for value in answers[f"{builder} torch.float32 logits"][0]]
    rows = ",\n".join(f"  {json.dumps(builder)}: {json.dumps(logits)}" for builder, logits in kept.items())
    GOLDEN.write_text(f"{{\n{rows}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    from reference import torchvision_live

    _write_golden(torchvision_live.find())
