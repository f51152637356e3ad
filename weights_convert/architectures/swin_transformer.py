"""The Swin Transformers: the shapes of all but their last layers."""

from chainfpn.models.swin_transformer import Architecture
from weights_convert._typing import Shapes
from weights_convert.architectures.shapes import conv, linear, norm


def swin_transformer(architecture: Architecture) -> Shapes:
    """Return the shapes of all of a Swin Transformer but its last layer."""
    width = architecture.channels
    shapes = conv("features.0.0", 3, width, 4, True) | norm("features.0.2", width, statistics=False)
    for stage, (n_blocks, n_heads) in enumerate(zip(architecture.n_blocks, architecture.n_heads, strict=True)):
        if stage:
            at = f"features.{2 * stage}."
            shapes |= {f"{at}reduction.weight": (2 * width, 4 * width)}
            shapes |= norm(f"{at}norm", (2 if architecture.v2 else 4) * width, statistics=False)
            width *= 2
        for i in range(n_blocks):
            shapes |= _block(f"features.{2 * stage + 1}.{i}.", width, n_heads, architecture)
    return shapes | norm("norm", width, statistics=False)


def _block(at: str, width: int, n_heads: int, architecture: Architecture) -> Shapes:
    side, offsets = architecture.side, 2 * architecture.side - 1
    shapes = norm(f"{at}norm1", width, statistics=False) | norm(f"{at}norm2", width, statistics=False)
    shapes |= linear(f"{at}attn.qkv", width, 3 * width) | linear(f"{at}attn.proj", width, width)
    shapes |= linear(f"{at}mlp.0", width, 4 * width) | linear(f"{at}mlp.3", 4 * width, width)
    shapes |= {f"{at}attn.relative_position_index": (side**4,)}
    if not architecture.v2:
        return shapes | {f"{at}attn.relative_position_bias_table": (offsets**2, n_heads)}
    shapes |= {f"{at}attn.logit_scale": (n_heads, 1, 1), f"{at}attn.relative_coords_table": (1, offsets, offsets, 2)}
    return shapes | linear(f"{at}attn.cpb_mlp.0", 2, 512) | {f"{at}attn.cpb_mlp.2.weight": (n_heads, 512)}
