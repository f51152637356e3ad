"""safetensors by its own package, torch 0.1's tar read beside torch, Chainer's .npz and snapshots, and exact bytes."""

import json
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

import numpy as np
import pytest

import weights_convert
from reference.arrays import assert_same_arrays
from weights_convert import crc
from weights_convert_tests.hostile import assembler as a


def arrays_of_all_dtypes():
    rng = np.random.default_rng(0)
    names = [
        "float16",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
    ]
    arrays = {f"a.{name}": (rng.random((3, 2, 5)) * 3).astype(name) for name in names}
    return arrays | {"scalar": np.float32(2.5), "empty": np.zeros((0, 3), "f4")}


def test_safetensors_is_read_as_its_own_package_writes_it(tmp_path):
    from safetensors.numpy import save_file

    arrays = {name: np.asarray(array) for name, array in arrays_of_all_dtypes().items()}
    save_file(arrays, tmp_path / "x.safetensors", {"format": "pt"})
    found = weights_convert.read_checkpoint(tmp_path / "x.safetensors")
    assert_same_arrays(found, arrays)


def test_safetensors_is_written_so_that_its_own_package_reads_it(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "x.npz"
    arrays = {name.replace(".", "/"): array for name, array in arrays_of_all_dtypes().items()}
    np.savez(path, **arrays)
    weights_convert.convert(path, tmp_path / "x.safetensors", model="any")
    with safe_open(tmp_path / "x.safetensors", "numpy") as f:
        assert set(f.keys()) == {name.replace("/", ".") for name in arrays}
        assert json.loads(f.metadata()["chainfpn"])["model"] is None
        for name, array in arrays.items():
            np.testing.assert_array_equal(f.get_tensor(name.replace("/", ".")), array, strict=True)


def test_bfloat16_of_safetensors_is_widened_exactly(tmp_path):
    values = np.float32([1.0, -2.5, 3.140625, np.inf])
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = {"x": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}
    (tmp_path / "b.safetensors").write_bytes(a.safetensors(header, data))
    found = weights_convert.read_checkpoint(tmp_path / "b.safetensors")["x"]
    np.testing.assert_array_equal(found, values, strict=True)
    _, _, report = weights_convert.convert_arrays(tmp_path / "b.safetensors", model="any")
    assert report.notes == ["1 bfloat16 tensors widened to float32, exactly"]


def test_chainers_own_npz_and_trainer_snapshots_are_read(tmp_path):
    import chainer
    import chainer.links as L

    net = chainer.Chain(conv=L.Convolution2D(3, 4, 3), bn=L.BatchNormalization(4), fc=L.Linear(4, 2))
    chainer.serializers.save_npz(tmp_path / "net.npz", net)
    plain = weights_convert.read_checkpoint(tmp_path / "net.npz")
    leaves = ("gamma", "beta", "avg_mean", "avg_var", "N")
    assert set(plain) == {"conv/W", "conv/b", *(f"bn/{leaf}" for leaf in leaves), "fc/W", "fc/b"}
    np.testing.assert_array_equal(plain["conv/W"], net.conv.W.array, strict=True)
    snapshot = {f"updater/model:main/{name}": array for name, array in plain.items()} | {
        "updater/iteration": np.int32(3)
    }
    np.savez_compressed(tmp_path / "snapshot", **snapshot)
    found = weights_convert.read_checkpoint(tmp_path / "snapshot.npz")
    assert set(found) == set(plain)
    weights_convert.convert(tmp_path / "snapshot.npz", tmp_path / "net.pth", model="any")
    assert set(weights_convert.read_checkpoint(tmp_path / "net.pth")) == {
        *("conv.weight", "conv.bias", "fc.weight", "fc.bias"),
        *("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"),
    }


def test_a_none_that_chainer_pickled_is_named_and_not_unpickled(tmp_path):
    np.savez(tmp_path / "none.npz", W=np.array(None), b=np.zeros(2, "f4"))
    with pytest.raises(
        weights_convert.CheckpointError, match=r"none\.npz: W is a pickled Python object, which is not read"
    ):
        weights_convert.read_checkpoint(tmp_path / "none.npz")
    weights_convert.convert(tmp_path / "none.npz", tmp_path / "b.npz", model="any", drop=["W"])


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_those_that_were_pickled_by_any_protocol(tmp_path, protocol):
    values = {"yes": True, "no": False, "n": -3, "large": 2**70, "x": 0.5, "text": "\u00e9\n", "none": None}
    values |= {"list": [1, (2, "b")], "bytes": b"\0\xff"}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(values, protocol))
    assert repr(weights_convert.read.contents.open_checkpoint(tmp_path / "a.pkl").tree) == repr(values)


@pytest.mark.parametrize("byte_order", "<>")
def test_a_meta_of_either_byte_order_is_read(tmp_path, byte_order):
    meta = {"model": None, "label_names": ["caf\u00e9"]}
    text = np.array(json.dumps(meta, ensure_ascii=False)).astype(np.dtype("U").newbyteorder(byte_order))
    np.savez(tmp_path / "a.npz", x=np.zeros(2, "f4"), __meta__=text)
    assert weights_convert.read.contents.open_checkpoint(tmp_path / "a.npz").meta == meta


def test_deflated_and_zip64_and_big_endian_zips_are_read(tmp_path):
    values = np.float32([1, 2, 3, 4])
    pickle = a.pickled(a.state_dict(x=a.tensor()))
    plain = a.torch_zip(pickle, {"0": values.tobytes()})
    cases = {
        "deflated": a.torch_zip(pickle, {"0": values.tobytes()}, method=zipfile.ZIP_DEFLATED),
        "zip64": zip64(plain),
        "big": a.torch_zip(pickle, {"0": values.astype(">f4").tobytes()}, byteorder=b"big"),
        "without byteorder": a.torch_zip(pickle, {"0": values.tobytes()}, byteorder=None),
        "other folder": a.torch_zip(pickle, {"0": values.tobytes()}, prefix="some name/"),
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(weights_convert.read_checkpoint(tmp_path / name)["x"], values, strict=True)


def zip64(data):
    """Rewrite a zip's end so that count, size and offset stand in a ZIP64 record."""
    at = data.rindex(b"PK\x05\x06")
    _, _, _, _, count, size, start, _ = struct.unpack("<4s4H2LH", data[at : at + 22])
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:at] + record + locator + end


def torch_tar(path):
    """Write what torch 0.1 wrote: two storages, one a view of the other, three tensors, one of them transposed."""
    storages = b"".join([
        a.pickled(a.integer(1)),
        a.pickled(a.tuple_(a.integer(11), a.text("cpu"), a.global_("torch", "FloatStorage"))),
        struct.pack("<q", 6) + np.arange(6, dtype="<f4").tobytes(),
        a.pickled(b"](" + a.tuple_(a.integer(12), a.integer(11), a.integer(2), a.integer(4)) + b"e"),
    ])  # fmt: skip
    tensors = a.pickled(a.integer(3))
    for key, storage, shape, strides, offset in (
        (1, 11, (2, 3), (3, 1), 0),
        (2, 11, (3, 2), (1, 3), 0),
        (3, 12, (2,), (1,), 1),
    ):
        tensors += a.pickled(a.tuple_(a.integer(key), a.integer(storage), a.global_("torch", "FloatTensor")))
        tensors += struct.pack(f"<i4x{len(shape)}q{len(shape)}qq", len(shape), *shape, *strides, offset)
    names = {"plain": 1, "transposed": 2, "view": 3}
    body = b"".join(a.text(name) + a.text(str(key)) + b"Q" for name, key in names.items())
    pickle = a.pickled(a.call(a.global_("collections", "OrderedDict")) + b"(" + body + b"u")
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (
            ("sys_info", a.pickled(b"}")),
            ("pickle", pickle),
            ("tensors", tensors),
            ("storages", storages),
        ):
            part = path.parent / name
            part.write_bytes(data)
            tar.add(part, name)


def test_the_tar_of_torch_0_1_is_read_as_torch_reads_it(torchvision_live, tmp_path):
    torch_tar(tmp_path / "old.pth")
    expected = torchvision_live.run("outputs.update(torch.load(folder / 'old.pth'))", folder=tmp_path)
    found = weights_convert.read_checkpoint(tmp_path / "old.pth")
    assert list(found) == ["plain", "transposed", "view"]
    assert_same_arrays(found, expected)
    assert found["view"].tolist() == [3, 4]


MEASURE = """
import sys
import weights_convert
exec(sys.argv[1])
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM")))
"""


def peak(code):
    done = subprocess.run([sys.executable, "-c", MEASURE, code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_bounded_by_the_tensors(tmp_path):
    n, size = 20, 2_500_000
    big = tmp_path / "big.safetensors"
    ends = {f"x{i}.weight": [4 * size * i, 4 * size * (i + 1)] for i in range(n)}
    header = {name: {"dtype": "F32", "shape": [size, 1], "data_offsets": offsets} for name, offsets in ends.items()}
    with open(big, "wb") as f:  # 200 MB, sparse on disk
        f.write(a.safetensors(header, b""))
        f.truncate(f.tell() + 4 * n * size)
    base = peak("pass")
    assert peak(f"weights_convert.inspect({str(big)!r})") - base < 8
    huge = tmp_path / "huge.pth"  # 500 MB, in a stream whose end is where the storages are
    pickle = a.state_dict(x=a.tensor((125_000_000,), numel=125_000_000))
    with open(huge, "wb") as f:
        f.write(a.torch_legacy(pickle, [("0", 125_000_000, b"")]))
        f.truncate(f.tell() + 500_000_000)
    assert peak(f"weights_convert.inspect({str(huge)!r})") < 64
    assert peak(f"weights_convert.convert({str(big)!r}, {str(tmp_path / 'out.npz')!r}, model='any')") < 200 + 64
    for to in ("pth", "npz"):
        weights_convert.convert(big, tmp_path / f"again.{to}", model="any")
        paths = f"{str(tmp_path / f'again.{to}')!r}, {str(tmp_path / 'out.npz')!r}"
        code = f"weights_convert.convert({paths}, model='any', force=True)"
        assert peak(code) < 200 + 64
    assert peak(f"a = weights_convert.read_checkpoint({str(big)!r}); [v.sum() for v in a.values()]") < 200 + 64


def test_damage_of_the_values_is_found_while_they_are_written(tmp_path):
    values = np.arange(4, dtype="f4").tobytes()
    whole = a.torch_zip(a.pickled(a.state_dict(x=a.tensor())), {"0": values})
    (tmp_path / "good.pth").write_bytes(whole)
    (tmp_path / "bad.pth").write_bytes(whole.replace(values, values[:-1] + b"\x41"))
    weights_convert.convert(tmp_path / "good.pth", tmp_path / "good.npz", model="any")
    for options in ({}, {"dtype": "float16"}, {"to": "pth"}, {"compress": True}):
        with pytest.raises(weights_convert.CheckpointError, match="checksum is wrong"):
            weights_convert.convert(tmp_path / "bad.pth", tmp_path / "bad.npz", model="any", **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.pth", "good.npz", "good.pth"]


def test_checksums_are_put_together():
    rng = np.random.default_rng(0)
    for size in (0, 1, 7, 4096, 1_000_003):
        head, tail = rng.bytes(80), rng.bytes(size)
        assert crc.combine(zlib.crc32(head), zlib.crc32(tail), size) == zlib.crc32(head + tail)


def tensor_v3(dtype, numel=4):
    """Pickle a tensor as torch 2.3 and later do for dtypes that have no storage class of their own."""
    key = (a.text("storage"), a.global_("torch.storage", "UntypedStorage"), a.text("0"), a.text("cpu"), a.integer(16))
    arguments = (a.tuple_(*key) + b"Q", a.integer(0), a.tuple_(a.integer(numel)), a.tuple_(a.integer(1)), b"\x89", b"N")
    return a.call(a.global_("torch._utils", "_rebuild_tensor_v3"), *arguments, a.global_("torch", dtype))


def test_dtypes_of_newer_torch(tmp_path):
    values = np.arange(4, dtype="<u4") << 28
    (tmp_path / "new.pth").write_bytes(
        a.torch_zip(a.pickled(a.state_dict(x=tensor_v3("uint32"))), {"0": values.tobytes()})
    )
    np.testing.assert_array_equal(weights_convert.read_checkpoint(tmp_path / "new.pth")["x"], values, strict=True)
    (tmp_path / "f8.pth").write_bytes(a.torch_zip(a.pickled(a.state_dict(x=tensor_v3("float8_e4m3fn", 16)))))
    with pytest.raises(weights_convert.CheckpointError, match=r"f8\.pth: x: has dtype float8_e4m3fn"):
        weights_convert.read_checkpoint(tmp_path / "f8.pth")
    with pytest.raises(weights_convert.CheckpointError, match=r"x has dtype uint32, which a \.pth cannot hold"):
        weights_convert.convert(tmp_path / "new.pth", tmp_path / "again.pth", model="any")
    report = weights_convert.inspect(tmp_path / "f8.pth", model="any")
    assert report.refused == {"x": "of dtype float8_e4m3fn, which no Chainer model can hold"}
