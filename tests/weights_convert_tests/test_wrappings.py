"""At least sixty real-life wrappings of one network: its values, or the right sentence."""

import numpy as np
import pytest

import weights_convert
from weights_convert import param_names
from weights_convert_tests.wrappings import SENTENCES, WRITE

#: Names that would be executed, of what stands beside the weights.
NAMED = {
    "typing.Any": "typing.Any",
    "OmegaConf": "typing.Any",
    "operator": "_operator.add",
    "builtin": "__builtin__.max",
    "partial": "__builtin__.max",
    "regular expression": "re._compile",
    "Callback": "_operator.lt",
}


@pytest.fixture(scope="module")
def wrappings(torchvision_live, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrappings")
    return folder, torchvision_live.run(WRITE, folder=folder)


def check(path, expected):
    """Check that a file converts to the network, without a flag, and is told to be it."""
    arrays, meta, report = weights_convert.convert_arrays(path)
    is_trunk = path.stem in ("features", "another head")
    assert (meta["model"], meta["arguments"]) == ("squeezenet1_1", {"n_class": 0 if is_trunk else 5})
    wanted = {name: array for name, array in expected.items() if not (is_trunk and name.startswith("classifier"))}
    assert {param_names.to_torch(name) for name in arrays} == wanted.keys()
    for name, array in arrays.items():
        value = wanted[param_names.to_torch(name)]
        value = value if array.dtype == "f2" else value.astype(array.dtype)
        if path.stem.startswith("bfloat16"):
            value = (value.view("u4") + 0x7FFF + (value.view("u4") >> 16 & 1) & 0xFFFF0000).view("f4")  # rounds to even
        np.testing.assert_array_equal(array, value, err_msg=name, strict=True)
    return report


def find_fault(path, expected, reports):
    """Return what is wrong with what becomes of a file, empty if nothing is."""
    try:
        reports[path.stem] = check(path, expected)
    except weights_convert.CheckpointError as error:
        return "" if path.stem in SENTENCES and SENTENCES[path.stem] in str(error) else str(error)
    except AssertionError as error:
        return str(error)
    return "converts" if path.stem in SENTENCES else ""


def test_every_wrapping_gives_the_values_or_the_right_sentence(wrappings):
    folder, expected = wrappings
    paths, reports = sorted(folder.glob("*.pth")), {}
    assert {path.stem: fault for path in paths if (fault := find_fault(path, expected, reports))} == {}
    assert len(paths) >= 100
    assert SENTENCES.keys() <= {path.stem for path in paths}
    for name, culprit in NAMED.items():
        notes = reports[f"Lightning with {name}"].notes
        assert any(note.startswith("left out: ") and f"(names {culprit})" in note for note in notes), (name, notes)
    assert "n_averaged" in reports["swa_utils"].dropped
    assert any("other state dicts in the file: model" in note for note in reports["references with EMA"].notes)
