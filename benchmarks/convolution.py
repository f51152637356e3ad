"""Time convolutions of a ResNet-50 with a feature pyramid against torch and Chainer, forward and both gradients.

    python benchmarks/convolution.py                  # print the table
    python benchmarks/convolution.py --device cuda    # on a GPU
    python benchmarks/convolution.py --write          # also put it into docs/benchmarks.md

float32, one image of 800 x 1216 pixels. On a GPU, where cuDNN convolves, a second table has the bias, a sum and the
ReLU behind each convolution: by a kernel of their own, by the same plan of cuDNN, and in the way that is taken.

The limit is the larger of what the multiplications take at the speed of a
large matrix product and what the bytes of input, weights and output take at the bandwidth of a copy, both measured in
the same run.
"""

import argparse
import os
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import chainfpn  # noqa: F401  # isort: skip
import chainer
import chainer.functions as F
import numpy as np

from bench_utils import markdown
from bench_utils.machine import TORCHS_CLOCK, Machine, add_device
from chainfpn import functions, links
from chainfpn.links.layers import convolve
from reference.torchvision_live import find


class Layer(NamedTuple):
    """One convolution: channels in and out, side of its kernel, stride, groups, and the map it runs on."""

    in_channels: int
    out_channels: int
    ksize: int
    stride: int
    groups: int
    height: int
    width: int

    def __str__(self) -> str:
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        kernel = f"{self.ksize}x{self.ksize}{f' / {self.stride}' if self.stride > 1 else ''}"
        return f"{self.in_channels} to {self.out_channels}, {kernel}{groups} on {self.height} x {self.width}"


LAYERS = (
    Layer(3, 64, 7, 2, 1, 800, 1216),
    Layer(256, 64, 1, 1, 1, 200, 304),
    Layer(64, 64, 3, 1, 1, 200, 304),
    Layer(64, 256, 1, 1, 1, 200, 304),
    Layer(256, 512, 1, 2, 1, 200, 304),
    Layer(128, 128, 3, 2, 1, 200, 304),
    Layer(512, 512, 3, 1, 1, 25, 38),
    Layer(256, 256, 3, 1, 1, 200, 304),
    Layer(240, 240, 3, 1, 240, 50, 76),
    Layer(240, 240, 5, 1, 240, 50, 76),
    Layer(240, 240, 7, 1, 240, 50, 76),
)

#: Times torch: forward, and the gradients of input and weights.
TORCH = """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(int(inputs["threads"]))
    repeat = int(inputs["repeat"])
    for k, (c, o, size, stride, groups, height, width) in enumerate({layers!r}):
        x = torch.randn(1, c, height, width, device=device)
        W = torch.randn(o, c // groups, size, size, device=device)
        options = {{"stride": stride, "padding": size // 2, "groups": groups}}
        gy = torch.randn_like(torch.nn.functional.conv2d(x, W, **options))
        seconds = [
            best(lambda: torch.nn.functional.conv2d(x, W, **options), repeat),
            best(lambda: torch.nn.grad.conv2d_input(x.shape, W, gy, **options), repeat),
            best(lambda: torch.nn.grad.conv2d_weight(x, W.shape, gy, **options), repeat),
        ]
        outputs[str(k)] = np.array(seconds)
"""

PASSES = ("forward", "gradient of x", "gradient of W")


def passes(machine: Machine, layer: Layer, convolve: Callable) -> tuple[Callable[[], object], ...]:
    """Return functions that run each pass of a layer."""
    rng, xp = np.random.default_rng(0), machine.xp
    size = layer.ksize
    x = xp.asarray(rng.standard_normal((1, layer.in_channels, layer.height, layer.width), dtype=np.float32))
    W = xp.asarray(rng.standard_normal((layer.out_channels, layer.in_channels // layer.groups, size, size), np.float32))
    options = {"stride": layer.stride, "pad": size // 2, "groups": layer.groups}
    gy = chainer.Variable(xp.ones_like(convolve(x, W, **options).array))
    of_x, of_W = (
        [chainer.Variable(x, requires_grad=k == 0), chainer.Variable(W, requires_grad=k == 1)] for k in (0, 1)
    )
    ys = [convolve(*pair, **options) for pair in (of_x, of_W)]

    def forward() -> None:
        with chainer.no_backprop_mode():
            convolve(x, W, **options)

    return (
        forward,
        lambda: chainer.grad([ys[0]], [of_x[0]], [gy], retain_grad=False),
        lambda: chainer.grad([ys[1]], [of_W[1]], [gy], retain_grad=False),
    )


def measure(machine: Machine) -> str:
    """Measure everything and return the section as Markdown."""
    live = find()
    theirs: dict[str, Any] = {}
    if live is not None:
        given = {"device": machine.device, "threads": machine.n_threads, "repeat": machine.repeat}
        theirs = live.run(
            TORCHS_CLOCK + textwrap.dedent(TORCH).format(layers=[tuple(layer) for layer in LAYERS]), **given
        )
    bandwidth, speed = machine.copy_bandwidth(), machine.operations()
    lines = [
        "| convolution | pass | chainfpn, ms | torch, ms | times as fast | than Chainer's | limit, ms | of the limit |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for k, layer in enumerate(LAYERS):
        out = layer.height * layer.width / layer.stride**2
        weights = layer.out_channels * layer.in_channels // layer.groups * layer.ksize**2
        moved = 4 * (layer.in_channels * layer.height * layer.width + layer.out_channels * out + weights)
        limit = max(2 * weights * out / speed, moved / bandwidth)
        sides = (passes(machine, layer, convolve) for convolve in (functions.convolution_2d, F.convolution_2d))
        for name, ours, chainers, torchs in zip(PASSES, *sides, theirs.get(str(k), (None,) * 3), strict=True):
            mine, stock = machine.best(ours), machine.best(chainers)
            cells = [str(layer), name, f"{1000 * mine:.3g}", "" if torchs is None else f"{1000 * torchs:.3g}"]
            cells += ["" if torchs is None else f"{torchs / mine:.2f}", f"{stock / mine:.2f}"]
            cells += [f"{1000 * limit:.3g}", f"{limit / mine:.0%}"]
            lines.append(f"| {' | '.join(cells)} |")
    lines += measure_fusion(machine)
    about = f"a copy moves {bandwidth / 1e9:.0f} GB/s, a matrix product does {speed / 1e9:.0f} GFLOP/s"
    return "\n".join([*lines, "", machine.signature(about)])


def measure_fusion(machine: Machine, layers: tuple[Layer, ...] = LAYERS) -> list[str]:
    """Time what follows a convolution outside of training, in both ways that a GPU knows; nothing without cuDNN."""
    from chainfpn.functions.kernels import gpu_epilogue

    if not (machine.on_gpu and gpu_epilogue.uses_cudnn()):
        return []
    lines = ["", "With a bias, a sum and a ReLU:", ""]
    lines += ["| convolution | alone, ms | a kernel behind it, ms | one plan, ms | times as fast | taken, ms |"]
    lines += ["|---|--:|--:|--:|--:|--:|"]
    for layer in layers:
        alone, behind, fused, taken = fusion_times(machine, layer)
        plan = fused if isinstance(fused, str) else f"{1000 * fused:.3g}"
        ratio = "" if isinstance(fused, str) else f"{behind / fused:.2f}"
        cells = [str(layer), f"{1000 * alone:.3g}", f"{1000 * behind:.3g}", plan, ratio, f"{1000 * taken:.3g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def fusion_times(machine: Machine, layer: Layer) -> tuple[float, float, float | str, float]:
    """Return the seconds of a convolution, of a kernel behind it, of one plan (or why there is none), and as taken."""
    from chainfpn.functions.kernels import gpu_epilogue
    from chainfpn.functions.kernels.convolution import Geometry

    rng, xp, size = np.random.default_rng(0), machine.xp, layer.ksize
    pads, groups = size // 2, layer.groups
    conv = links.Convolution2D(layer.in_channels, layer.out_channels, size, layer.stride, pads, groups=groups)
    conv.to_device(machine.chainers_device)
    x = xp.asarray(rng.standard_normal((1, layer.in_channels, layer.height, layer.width), dtype=np.float32))
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        residual = xp.ones_like(conv(x).array)
        alone = machine.best(lambda: functions.convolution_2d(x, conv.W, None, layer.stride, pads, groups=groups))
        with mock.patch.dict(os.environ, {gpu_epilogue.VARIABLE: "0"}):
            behind = machine.best(lambda: convolve(conv, x, None, residual, relu=True))
        convolve(conv, x, None, residual, relu=True)  # the second time the ways are compared, and one is taken
        convolve(conv, x, None, residual, relu=True)
        taken = machine.best(lambda: convolve(conv, x, None, residual, relu=True))
    geometry = Geometry((layer.stride,) * 2, (pads,) * 2, (1, 1), groups)
    fused = gpu_epilogue.Convolution(x, conv.W.array, conv.b.array, residual, True, geometry)
    try:
        return alone, behind, machine.best(fused.run), taken
    except RuntimeError as error:  # cuDNN refuses
        return alone, behind, str(error), taken


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser, "where all sides run")
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{markdown.BENCHMARKS.name}")
    arguments = parser.parse_args()
    section = measure(Machine(arguments.device))
    markdown.show(f"convolution.py {arguments.device}", section, write_too=arguments.write)


if __name__ == "__main__":
    main()
