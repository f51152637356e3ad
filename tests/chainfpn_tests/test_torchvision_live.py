"""The bridge to torchvision: what goes in and what comes out."""

import numpy as np
import pytest

from reference.torchvision_live import TorchvisionLive


def test_arrays_travel_both_ways(torchvision_live, tmp_path):
    code = """
        outputs["twice"] = torch.from_numpy(inputs["x"]) * 2
        torch.save({"x": torch.ones(2)}, folder / "x.pth")
        outputs["version"] = np.array(torchvision.__version__)
    """
    outputs = torchvision_live.run(code, folder=tmp_path, x=np.arange(3, dtype=np.float32))
    np.testing.assert_array_equal(outputs["twice"], [0, 2, 4])
    assert outputs["twice"].dtype == np.float32
    assert "." in str(outputs["version"])
    assert (tmp_path / "x.pth").stat().st_size > 0


def test_a_failing_snippet_shows_its_traceback(torchvision_live):
    with pytest.raises(AssertionError, match=r"(?s)the snippet failed.*KeyError: 'nothing'"):
        torchvision_live.run("inputs['nothing']")


def test_a_snippet_that_dies_takes_nothing_with_it(torchvision_live):
    torchvision_live.run("torch.set_default_dtype(torch.float64)")
    with pytest.raises(AssertionError, match="the snippet failed"):
        torchvision_live.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert torchvision_live.run("outputs['x'] = torch.ones(1)")["x"].dtype == np.float32


def test_an_interpreter_without_torch_fails_loudly(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no torch >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(AssertionError, match="no torch"):
        TorchvisionLive(str(python)).run("")
