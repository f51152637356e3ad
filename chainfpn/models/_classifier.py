"""What every builder of a classifier does: settle its options, build, load, name, preprocess as published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chainer import Link

from chainfpn._option_rules import check_option
from chainfpn.errors import InvalidArgument
from chainfpn.links import Classifier, ClassifierPreprocess
from chainfpn.models._build import check_names
from chainfpn.models._options import resolve_label_names
from chainfpn.models._weights import Weights, find_weights
from chainfpn.models.registry import find_weight_file
from chainfpn.serialization import WeightsError


def build_classifier(
    name: str,
    make: Callable[..., Classifier],
    arguments: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    last_layer: Callable[[Mapping[str, Any]], str] | None = None,
    auxiliary: tuple[str, ...] = (),
) -> Any:
    """Build a classifier and load its weights.

    What the caller passes goes before what the weights' ``__meta__`` or their published record says, and that before
    the default.

    Args:
        name (str): The builder.
        make (callable): Makes the link from ``n_class`` and a value for every option.
        arguments (mapping): The builder's arguments, ``options`` among them; None stands for nothing.
        defaults (mapping): Every option and its default.
        last_layer (callable or None): Options to the layer that a model without a head ends in; by default the last
            one with weights before the head.
        auxiliary (tuple of str): Beginnings of the names of auxiliary heads, which ``aux_logits`` switches.

    Returns:
        chainfpn.links.Classifier: The model.

    Raises:
        TypeError: if there is no option of a name.
        InvalidArgument: if an option is out of its range.
        WeightsError: naming everything that does not fit.
        OSError: if the weights cannot be read or fetched.
    """
    check_names(name, arguments["options"])
    arguments = {**arguments, **arguments["options"]}
    weights = Weights({}, {}, "")
    if arguments["pretrained_model"] is not None:
        weights = find_weights(arguments["pretrained_model"], name=name, any_names=last_layer is None)
    if any(key.startswith("backbone/") for key in weights.arrays):
        model = weights.meta.get("model") or "a detector"
        way = "chainfpn.models.load builds it, and backbone.body is its trunk"
        raise WeightsError(f"{weights.file}: holds the weights of {model}, not of {name}; {way}")
    source = weights.meta.get("source", {})
    _, published = find_weight_file(source.get("sha256")) or (None, None)
    stored = {**(published.arguments if published else {}), **weights.arguments}
    if weights.arrays and auxiliary:
        stored.setdefault("aux_logits", any(key.startswith(auxiliary) for key in weights.arrays))
    n_class = _n_class(weights.arrays) if arguments["n_class"] is None else arguments["n_class"]
    if n_class == 0 and auxiliary:
        stored["aux_logits"] = False
    options = _choose_options(name, n_class, arguments, stored, defaults)
    link: Any = make(n_class or 1, **options)
    link.cleargrads()  # as large as the parameters, and of no use before a backward pass, which makes its own
    if n_class == 0:
        _remove_head(link, last_layer and last_layer(options))
    if weights.arrays:
        without = auxiliary if auxiliary and not options["aux_logits"] else ("\0",)
        arrays = {key: array for key, array in weights.arrays.items() if not key.startswith(without)}
        weights._replace(arrays=arrays).load_into(link)
    if published:
        sizes = published.resize or 256, published.crop or 224
        link.preprocess = ClassifierPreprocess(*sizes, published.mean, published.std, published.interpolation)
    label_names = weights.meta.get("label_names") or (published and published.label_names)
    link.label_names = _resolve_names(label_names, n_class, weights.file)
    changed = {key: value for key, value in options.items() if value != defaults[key] and not callable(value)}
    link.meta = {"model": name, "arguments": {"n_class": n_class, **changed}, "label_names": label_names}
    if source:
        link.meta["source"] = source
    return link


def _choose_options(name, n_class, arguments, stored, defaults):
    """Choose a value for every option: the caller's, that of the weights, or the default."""
    options = dict(defaults)
    for source in (stored, arguments):
        options |= {key: value for key, value in source.items() if key in defaults and value is not None}
    for key, value in (("n_class", n_class), *options.items()):
        check_option(name, key, value)
    if n_class and options.get("n_stages", 4) != 4:
        raise InvalidArgument(name, "n_stages", "4 where n_class is not 0", options["n_stages"])
    return options


def _resolve_names(label_names, n_class, file):
    """Return the names of the classes, as many as there are, or None."""
    names = resolve_label_names(label_names)
    if names is not None and len(names) != n_class:
        raise WeightsError(f"{file}: label_names must have n_class = {n_class} entries, got {len(names)}")
    return names


def _remove_head(link: Any, last: str | None) -> None:
    """Let a classifier end in its last map, or in the layer of a name."""
    link.n_class, layers = 0, [name for name in link.layer_names if isinstance(link[name], Link)]
    link.pick = last or layers[-2]
    link.remove_unused()


def _n_class(arrays: Mapping[str, Any]) -> int:
    """Return the number of classes that weights have: of ``fc``, ``head`` or the last ``classifier``."""
    heads = [name for name in arrays if name.startswith(("fc/", "classifier/", "head/")) and name.endswith("/b")]
    return arrays[max(heads)].size if heads else 0 if arrays else 1000
