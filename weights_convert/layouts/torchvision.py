"""torchvision's own names, the road that every other layout is led to: newer spellings become the older, flat ones.

The newer spellings came with torchvision 0.13, where convolutions moved into a Sequential that can also hold a norm.
Models whose FPN or heads have norms (the V2 detectors) keep them: there ``.0`` is the convolution, ``.1`` its norm.
"""

from weights_convert.rules import Rule

_FPN_NORM = r"(?:backbone\.)?fpn\.(?:inner|layer)_blocks\.\d+\.1\."
_MASK_NORM = r"roi_heads\.mask_head\.\d+\.1\."

_ONE_STAGE_CONV = r"(head\.(?:classification|regression)_head\.conv)"
_ONE_STAGE_NORM = r"head\.\w+\.conv\.\d+\.1\."

#: Newer spellings -> older, flat ones.
FLATTEN = (
    Rule(r"((?:backbone\.)?fpn\.(?:inner|layer)_blocks\.\d+)\.0\.", r"\1.", unless=_FPN_NORM),
    Rule(r"(.*denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),  # as the published DenseNets are spelled
    Rule(r"rpn\.head\.conv\.0\.0\.", r"rpn.head.conv.", unless=r"rpn\.head\.conv\.1\."),
    *(
        Rule(rf"roi_heads\.mask_head\.{i}\.0\.", f"roi_heads.mask_head.mask_fcn{i + 1}.", unless=_MASK_NORM)
        for i in range(8)
    ),
    *(Rule(rf"{_ONE_STAGE_CONV}\.{i}\.0\.", rf"\1.{2 * i}.", unless=_ONE_STAGE_NORM) for i in range(4)),
)
