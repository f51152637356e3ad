"""Print a table of all models, from the registry: what they return, their size and speed, their published weights.

    python scripts/model_table.py

The site has it on the page of models. Every model is built, with arrays that nobody fills; milliseconds are those that
``benchmarks/speeds.py`` wrote to docs/speeds.json.
"""

import json
import pathlib
from collections.abc import Iterator

import chainfpn  # noqa: F401  (first: it makes Chainer importable)

# isort: split

import chainer
import numpy as np
from chainer import initializers

from chainfpn import models
from chainfpn.links import FrozenBatchNormalization, Preprocess
from chainfpn.models._record import WORDS, Model

HEADS = ("model", "parameters", "input", "ms", "`predict` returns", "published weights, percent")
SPEEDS = pathlib.Path(__file__).resolve().parents[1] / "docs" / "speeds.json"


def table() -> Iterator[str]:
    """Yield the lines of the table in Markdown."""
    yield f"| {' | '.join(HEADS)} |"
    yield "|---|--:|---|--:|---|---|"
    speeds = json.loads(SPEEDS.read_text(encoding="utf-8"))["milliseconds"]
    for record in models.MODELS.values():
        model = build_empty(record)
        cells = f"`{record.name}`", f"{n_parameters(model):,}", image_size(record, model)
        speed = f"{speeds[record.name]:g}" if record.name in speeds else ""
        yield f"| {' | '.join([*cells, speed, ', '.join(record.returns), figures(record)])} |"


def measured_on() -> str:
    """Return on which machine the milliseconds were measured, and when."""
    speeds = json.loads(SPEEDS.read_text(encoding="utf-8"))
    return f"Milliseconds of {speeds['date']} on: {speeds['machine']}."


def build_empty(record: Model) -> chainer.Chain:
    """Build a model by its defaults without drawing its weights."""
    generate_array = initializers.generate_array
    initializers.generate_array = lambda initializer, shape, *others, **options: np.empty(shape, np.float32)
    try:
        return record.builder()
    finally:
        initializers.generate_array = generate_array


def n_parameters(model: chainer.Chain) -> int:
    """Return the number of parameters, those of frozen normalizations included."""
    frozen = [link for link in model.links() if isinstance(link, FrozenBatchNormalization)]
    return sum(param.size for param in model.params()) + sum(link.gamma.size + link.beta.size for link in frozen)


def image_size(record: Model, model: chainer.Chain) -> str:
    """Return the side of the square that a model sees, or the shorter side and the most of the longer one."""
    if record.task == "classification":
        return ", ".join(sorted({str(file.crop) for file in record.weights.values() if file.crop}))
    preprocess = getattr(model, "preprocess", None)
    if not isinstance(preprocess, Preprocess):
        return ""
    if preprocess.fixed_size is not None:
        return str(preprocess.fixed_size[0])
    return f"{preprocess.train_sizes[-1]} to {preprocess.max_size}"


def figures(record: Model) -> str:
    """Return what ``pretrained_model`` calls the published weights of a model, with their figures."""
    shown = []
    for name, word in WORDS.items():
        if name in record.weights:
            values = [f"{key} {value}".removeprefix("top1 ") for key, value in record.weights[name].figures.items()]
            shown.append(" ".join([word, ", ".join(values)]).rstrip())
    return "; ".join(shown)


if __name__ == "__main__":
    print(*table(), "", measured_on(), sep="\n")
