"""What every builder of a classifier does with its weights: count the classes, load, name, prepare as published."""

from chainfpn.models.presets import find_preset
from chainfpn.models.weights import find_weights, resolve_label_names
from chainfpn.serialization import WeightsError


class ClassifierWeights:
    """The weights a classifier is built with, or none.

    Args:
        name (str): The builder.
        pretrained_model (str, os.PathLike, Weights or None): See :func:`~chainfpn.models.weights.find_weights`.
        convert_as (str or None): See :func:`~chainfpn.models.weights.find_weights`.

    Attributes:
        arrays (dict): Array by name, empty without weights.
        arguments (dict): What the file, or what is known of it by its hash, says of the builder's arguments.

    Raises:
        WeightsError: if the file is not what it should be.
        OSError: if it cannot be read or fetched.
    """

    def __init__(self, name, pretrained_model, *, convert_as="any"):
        weights = find_weights(pretrained_model, name=name, zoo=("imagenet", "imagenet_v2"), convert_as=convert_as)
        meta = {} if weights is None else weights.meta
        self._weights = weights
        self._preset = find_preset(meta.get("source", {}).get("sha256"))
        self._label_names = meta.get("label_names") or (self._preset and self._preset.label_names)
        self.arrays = {} if weights is None else weights.arrays
        self.arguments = {**(self._preset.arguments if self._preset else {}), **meta.get("arguments", {})}

    def n_class(self, asked):
        """Tell the number of classes: what is asked for, else what the weights have, else ImageNet's 1000.

        Args:
            asked (int or None): The builder's argument.

        Returns:
            int: The number.
        """
        if asked is not None:
            return asked
        # the last layer is ``fc`` or, alone or last of several, ``classifier``
        heads = [name for name in self.arrays if name.startswith(("fc/", "classifier/")) and name.endswith("/b")]
        return self.arrays[max(heads)].size if heads else 1000

    def load_into(self, link, *, without=()):
        """Load the weights, if any, and take over class names and preprocess from what is known of them.

        Args:
            link (chainfpn.links.Classifier): The model.
            without (sequence of str): Beginnings of names to leave out.

        Returns:
            chainfpn.links.Classifier: The same.

        Raises:
            WeightsError: naming everything that does not fit.
        """
        if self._weights is None:
            return link
        arrays = {name: array for name, array in self.arrays.items() if not name.startswith(tuple(without))}
        self._weights._replace(arrays=arrays).load_into(link)
        if self._preset is not None:
            link.preprocess = self._preset.preprocess
        link.label_names = resolve_label_names(self._label_names)
        if link.label_names is not None and len(link.label_names) != link.n_class:
            n_names = len(link.label_names)
            raise WeightsError(
                f"{self._weights.file}: label_names must have n_class = {link.n_class} entries, got {n_names}"
            )
        return link
