"""Malicious and broken inputs, each with a piece of the sentence that must answer it."""

import io
import struct
import tarfile
import zipfile

from weights_convert_tests.hostile import assembler as a


def executing(canary):
    """Return ``{name: (pickle body, sentence)}``: every way a pickle can call, each trying to create ``canary``."""
    command = a.text(f"touch {canary}")
    write = a.text(f"open({canary!r}, 'w')")
    system = a.global_("os", "system")
    evil = a.global_("evil.module", "Payload")
    never = "which has no place in a checkpoint"
    return {
        "reduce": (a.call(system, command), f"os.system, {never}"),
        "reduce posix": (a.call(a.global_("posix", "system"), command), never),
        "reduce nt": (a.call(a.global_("nt", "system"), command), never),
        "stack global": (a.call(a.stack_global("os", "system"), command), never),
        "stack global of a submodule": (a.call(a.stack_global("os.path", "os.system"), command), never),
        "stack global behind torch": (
            a.call(a.stack_global("torch", "os.system"), command),
            "would call torch.os.system",
        ),
        "stack global of bytes": (b"C\x02osC\x06system\x93" + a.tuple_(command) + b"R", "something that is not text"),
        "stack global from the memo": (a.text("os") + b"q\x000" + a.text("system") + b"q\x010h\x00h\x01\x93", never),
        "inst": (b"(" + command + b"ios\nsystem\n", never),
        "obj": (b"(" + system + command + b"o", never),
        "newobj": (a.global_("subprocess", "Popen") + a.tuple_(command) + b"\x81", never),
        "newobj_ex": (a.global_("subprocess", "Popen") + a.tuple_(command) + b"}\x92", never),
        "setstate": (evil + b")\x81}" + a.text("x") + a.call(a.global_("builtins", "exec"), write) + b"sb", never),
        "setstate of an unknown class": (evil + b")\x81" + a.tuple_(command) + b"b", "holds no tensors"),
        "setstate of a function": (evil + a.tuple_(command) + b"b", "sets the state of a Global"),
        "eval": (a.call(a.global_("builtins", "eval"), write), never),
        "exec in python 2's spelling": (a.call(a.global_("__builtin__", "eval"), write), never),
        "import": (a.call(a.global_("builtins", "__import__"), a.text("antigravity")), never),
        "importlib": (a.call(a.global_("importlib", "import_module"), a.text("os")), never),
        "runpy": (a.call(a.global_("runpy", "run_path"), command), never),
        "ctypes": (a.call(a.global_("ctypes", "CDLL"), a.text("libc.so.6")), never),
        "pickle in a pickle": (a.call(a.global_("pickle", "loads"), b"C\x01."), never),
        "pip": (a.call(a.global_("pip", "main"), a.text("install")), "would call pip.main"),
        "torch.load": (
            a.call(a.global_("torch.serialization", "load"), command),
            "would call torch.serialization.load",
        ),
        "torch.hub": (a.call(a.global_("torch.hub", "load"), command), "would call torch.hub.load"),
        "numpy.load": (a.call(a.global_("numpy", "load"), command), "would call numpy.load"),
        "numpy's tester": (a.call(a.global_("numpy.testing._private.utils", "runstring"), write), "would call numpy"),
        "an unknown class": (a.call(evil, command), "would call evil.module.Payload"),
        "getattr": (
            a.call(a.call(a.global_("builtins", "getattr"), evil, a.text("system")), command),
            "would call a Record",
        ),
        "partial": (a.call(a.call(a.global_("functools", "partial"), evil, command)), "would call a Record"),
        "partial of system": (a.call(a.global_("functools", "partial"), system, command), never),
        "attrgetter": (a.call(a.global_("operator", "attrgetter"), a.text("system")), never),
        "reconstructor": (a.call(a.global_("copyreg", "_reconstructor"), system, system, command), never),
        "add_extension": (
            a.call(a.global_("copyreg", "add_extension"), a.text("os"), a.text("system"), b"K\x01"),
            never,
        ),
        "rebuild from type": (
            a.call(a.global_("torch._tensor", "_rebuild_from_type_v2"), evil, evil, a.tuple_(command), b"N"),
            "would call evil.module.Payload",
        ),
        "default factory": (a.call(a.global_("collections", "defaultdict"), system), never),
        "codec": (
            a.call(a.global_("_codecs", "encode"), command, a.text("rot13")),
            "in an encoding that is not latin-1",
        ),
        "call of a text": (a.call(a.text("os.system"), command), "would call a str"),
        "call without a tuple": (system[:0] + a.global_("collections", "OrderedDict") + command + b"R", "not a tuple"),
        "extension 1": (b"\x82\x01", "extension code"),
        "extension 2": (b"\x83\x01\x00", "extension code"),
        "extension 4": (b"\x84\x01\x00\x00\x00", "extension code"),
        "out-of-band buffer": (b"\x97", "buffers outside itself"),
    }


def broken_pickles():
    """Return ``{name: (pickle body, sentence)}``: damage and bombs."""
    nest = "nests more than"
    big_list = b"](" + b"K\x01" * 100_000 + b"eq\x00"
    copies = (a.global_("builtins", "list") + b"h\x00\x85R0") * 50_000
    return {
        "stack underflow": (b"R", "empty stack"),
        "mark underflow": (b"t", "a MARK that it never made"),
        "unknown opcode": (b"\xff", "no pickle opcode"),
        "missing memo": (b"h\x07", "never stored"),
        "huge bytes": (b"\x8e" + struct.pack("<Q", 1 << 60), "claims 1152921504606846976 bytes"),
        "huge text": (b"\x8d" + struct.pack("<Q", 1 << 60), "claims 1152921504606846976 bytes"),
        "huge bytearray": (b"\x96" + struct.pack("<Q", 1 << 60), "claims 1152921504606846976 bytes"),
        "huge frame": (b"\x95\xff\xff\xff\xff\xff\xff\xff\xff", "empty stack"),
        "huge integer": (b"\x8b" + struct.pack("<i", 1 << 30), "an integer of 1073741824 bytes"),
        "negative integer size": (b"\x8b" + struct.pack("<i", -5), "an integer of -5 bytes"),
        "decimal bomb": (b"L" + b"9" * 3000 + b"L\n", "more than 40 digits"),
        "endless line": (b"I" + b"9" * 10_000, "without an end"),
        "negative string": (b"T" + struct.pack("<i", -1), "negative length"),
        "bad text": (b"X\x01\x00\x00\x00\xff", "not UTF-8"),
        "bad escape": (b"S'\\x'\n", "badly escaped"),
        "bad unicode escape": (b"V\\ud800\\U99999999\n", "badly escaped"),
        "bad float": (b"Fnone\n", "where a number belongs"),
        "marks": (b"(" * 200_000, nest),
        "nested tuples": (b")" + b"\x85" * 500_000, nest),
        "nested lists": (b"]" * 100_000 + b"a" * 99_999, nest),
        "list as key": (b"}]K\x01s", "uses a list as a key"),
        "nested key": (b"})" + b"\x85" * 100_000 + b"K\x01s", "as a key"),
        "huge key": (b"}\x8a\x20" + b"\x11" * 32 + b"K\x01s", "as a key"),
        "key without value": (b"}(K\x01u", "a key without a value"),
        "items of a number": (b"K\x01(K\x01K\x02u", "sets keys of a int"),
        "append to a number": (b"K\x01K\x02a", "appends to a int"),
        "copies": (big_list + copies, "more steps than"),
        "opcodes": (b"N0" * 1_500_000, "empty stack"),
        "sets": (b"(" + b"\x8f" * 1_000_000, "more steps than"),
        "memory": (b"N" + b"\x94" * 2_000_000, "more steps than"),
        "itself": (b"]q\x00h\x00a", "holds no tensors with names"),
        "itself as state dict": (b"}q\x00" + a.text("model") + b"h\x00s", "holds no tensors"),
        "arguments that do not fit": (a.call(a.global_("torch._utils", "_rebuild_tensor_v2")), "do not fit"),
        "array without state": (
            a.call(a.global_("numpy.core.multiarray", "_reconstruct"), b"N") + b"K\x01b",
            "whose state is not one",
        ),
    }


def tensors():
    """Return ``{name: (pickle body, sentence)}`` of tensors that lie, around a storage of 16 bytes."""
    return {
        "beyond the storage": (a.tensor((5,)), "needs 5 elements but its storage has 4"),
        "beyond by offset": (a.tensor(offset=1), "needs 5 elements but its storage has 4"),
        "beyond by stride": (a.tensor(strides=(2,)), "needs 7 elements but its storage has 4"),
        "negative size": (a.tensor((-4,)), "has shape (-4,)"),
        "negative stride": (a.tensor(strides=(-1,)), "strides (-1,)"),
        "negative offset": (a.tensor(offset=-1), "has shape"),
        "strides missing": (a.tensor((2, 2)), "has shape (2, 2) and strides (1,)"),
        "overflowing size": (a.tensor((1 << 40, 1 << 40), (1, 1)), "needs"),
        "repeated without end": (a.tensor((1 << 40,), (0,)), "claims 4398046511104 bytes"),
        "many axes": (a.tensor((1,) * 40, (1,) * 40), "40 axes"),
        "storage missing": (a.tensor(key="7"), "missing"),
        "storage too short": (a.tensor(numel=1 << 40), "storage"),
        "negative storage": (a.tensor(numel=-4), "without a name or a size"),
        "no storage": (
            a.call(a.global_("torch._utils", "_rebuild_tensor_v2"), b"N", b"K\x00", b")", b")"),
            "without a storage",
        ),
    }


def files(canary):
    """Return ``{file name: (bytes, sentence)}``."""
    result = {}
    for name, (body, sentence) in executing(canary).items():
        inside = a.pickled(a.state_dict(x=body), 4)
        result[f"{name}.pkl"] = a.pickled(body, 4), sentence
        result[f"{name}.zip.pth"] = a.torch_zip(inside), sentence
        result[f"{name}.legacy.pth"] = a.torch_legacy(a.state_dict(x=body), ()), sentence
    for name, (body, sentence) in broken_pickles().items():
        result[f"{name}.pkl"] = a.pickled(body, 4), sentence
    for name, (body, sentence) in tensors().items():
        result[f"{name}.zip.pth"] = a.torch_zip(a.pickled(a.state_dict(x=body))), sentence
    return result | zips() | streams() | others()


def zips():
    """Return broken zips."""
    pickle = a.pickled(a.state_dict(x=a.tensor()))
    good = a.torch_zip(pickle)
    bomb = a.torch_zip(pickle, {"0": b"\0" * 300_000_000}, method=zipfile.ZIP_DEFLATED)
    opcodes = a.torch_zip(a.pickled(b"N0" * 1_500_000), method=zipfile.ZIP_DEFLATED)
    pickle_bomb = a.torch_zip(pickle + b"\0" * 300_000_000, method=zipfile.ZIP_DEFLATED)
    record = struct.pack("<Q", 1 << 62)
    many = b"".join(a.text(f"x{i}") + a.tensor((5_000_000,), key="0", numel=5_000_000) for i in range(40))
    return {
        "truncated.pth": (good[:-30], "table of contents is missing"),
        "only the beginning.pth": (good[:100], "table of contents is missing"),
        "parent path.pth": (a.torch_zip(pickle, more=[("archive/../../x", b"")]), "which no checkpoint has"),
        "absolute path.pth": (a.torch_zip(pickle, prefix="/archive/"), "which no checkpoint has"),
        "backslash path.pth": (a.torch_zip(pickle, more=[("archive\\x", b"")]), "which no checkpoint has"),
        "control character.pth": (a.torch_zip(pickle, more=[("archive/\x1b[2J", b"")]), "which no checkpoint has"),
        "deflate bomb.pth": (bomb, "claim to swell to"),
        "deflated opcodes.pth": (opcodes, "more steps than"),
        "pickle bomb.pth": (pickle_bomb, "claim"),
        "overlap.pth": (_patch_directory(good, 42, struct.pack("<L", 0)), "overlaps another one"),
        "encrypted.pth": (_patch_directory(good, 8, b"\x01\x00"), "is encrypted"),
        "method.pth": (_patch_directory(good, 10, b"\x0c\x00"), "compressed by method 12"),
        "stored size.pth": (_patch_directory(good, 24, struct.pack("<L", 1 << 30)), "but claims"),
        "both sizes.pth": (_patch_directory(good, 20, struct.pack("<2L", 1 << 30, 1 << 30)), "more than the file has"),
        "needs zip64.pth": (_patch_directory(good, 24, b"\xff" * 4), "needs ZIP64 sizes"),
        "count.pth": (_patch_end(good, 8, b"\x07\x00\x07\x00"), "claims 7 members and lists 4"),
        "directory beyond.pth": (_patch_end(good, 16, b"\xff\xff\xff\x7f"), "beyond the end of the file"),
        "zip64 nowhere.pth": (_patch_end(good, 16, b"\xff\xff\xff\xff"), "needs a ZIP64 table of contents"),
        "zip64 beyond.pth": (_zip64_locator(good, record), "not where it should be"),
        "checksum.pth": (good.replace(b"\x80\x02}", b"\x80\x03}", 1), "checksum is wrong"),
        "twins.pth": (
            a.torch_zip(pickle, more=[("archive/datb/0", b"")]).replace(b"datb", b"data"),
            "two members named",
        ),
        "no pickle.pth": (a.npz(x=a.npy()).replace(b"x.npy", b"x.txt"), "no data.pkl"),
        "two pickles.pth": (a.torch_zip(pickle, more=[("other/data.pkl", b"")]), "no data.pkl"),
        "byteorder.pth": (a.torch_zip(pickle).replace(b"little", b"middle"), "checksum is wrong"),
        "torchscript.pth": (a.torch_zip(pickle, more=[("archive/constants.pkl", b"")]), "is a TorchScript archive"),
        "package.pth": (
            a.torch_zip(pickle, more=[("archive/.data/extern_modules", b"")]),
            "is a torch.package archive",
        ),
        "shared.pth": (a.torch_zip(a.pickled(b"}(" + many + b"u"), {"0": b"\0" * 20_000_000}), "its tensors claim"),
    }


def streams():
    """Return broken legacy streams and tars."""
    state = a.state_dict(x=a.tensor())
    view = a.tuple_(a.text("v"), a.integer(2), a.integer(9))
    key = a.tuple_(a.text("storage"), a.global_("torch", "FloatStorage"), a.text("0"), a.text("cpu"), b"K\x04", view)
    tar, infinity = _tar(a.pickled(b"K\x7f")), b"G\x7f\xf0" + b"\0" * 6
    number = a.pickled(b"K\x01") + a.pickled(a.tuple_(infinity, b"N", a.global_("torch", "FloatStorage"))) + b"\0" * 8
    return {
        "short storage.pth": (a.torch_legacy(state)[:-8], "goes beyond the end"),
        "no storages.pth": (a.torch_legacy(state, ()), "is missing"),
        "other size.pth": (a.torch_legacy(state, [("0", 5, b"\0" * 20)]), "written with 5"),
        "negative size.pth": (a.torch_legacy(state, [("0", -4, b"\0" * 16)]), "written with -4"),
        "unused storage.pth": (a.torch_legacy(state, [("9", 4, b"\0" * 16)]), "that no tensor uses"),
        "view beyond.pth": (a.torch_legacy(a.state_dict(x=key + b"Q")), "view beyond its storage"),
        "protocol.pth": (a.torch_legacy(state).replace(a.integer(1001), a.integer(1002)), "unknown protocol"),
        "other tar.tar": (tar[:512] + tar[1024:], "not one that torch 0.1 wrote"),
        "short tar.tar": (tar[:1200], "tar"),
        "storages.tar": (tar, "truncated"),
        "infinity.tar": (_tar(number), "something that is no number"),
    }


def _tar(storages):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, data in (("pickle", a.pickled(b"}")), ("storages", storages), ("tensors", b"")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return tar.getvalue()


def others():
    """Return broken .safetensors and .npz, and files of other kinds."""
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    objects = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    load = a.global_("torch.storage", "_load_from_bytes")
    evil = a.pickled(a.call(a.global_("os", "system"), a.text("true")))
    stream = a.torch_legacy(b"N0" * 300 + b"}", ())
    stream = b"B" + struct.pack("<I", len(stream)) + stream + b"q\x000"
    claim = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }"
    return {
        "header size.safetensors": (struct.pack("<Q", 1 << 24) + b"{}", "truncated"),
        "not json.safetensors": (a.safetensors(b"{nothing}"), "not JSON"),
        "deep json.safetensors": (a.safetensors(b'{"x":' * 100_000), "not JSON"),
        "beyond.safetensors": (a.safetensors({"x": entry | {"data_offsets": [8, 24]}}), "goes beyond the end"),
        "backwards.safetensors": (a.safetensors({"x": entry | {"data_offsets": [16, 0]}}), "goes beyond the end"),
        "overlap.safetensors": (a.safetensors({"x": entry, "y": entry}), "overlaps"),
        "shape.safetensors": (a.safetensors({"x": entry | {"shape": [2]}}), "do not agree"),
        "huge shape.safetensors": (a.safetensors({"x": entry | {"shape": [1 << 45]}}), "needs"),
        "negative shape.safetensors": (a.safetensors({"x": entry | {"shape": [-4]}}), "has shape"),
        "dtype.safetensors": (a.safetensors({"x": entry | {"dtype": "F7"}}), "not known"),
        "no entry.safetensors": (a.safetensors({"x": 3}), "no offsets"),
        "twins.safetensors": (a.safetensors(b'{"x":1,"x":2}'), "names something twice"),
        "float8.safetensors": (a.safetensors({"x": entry | {"dtype": "F8_E4M3", "shape": [16]}}), "float8_e4m3fn"),
        "objects.npz": (a.npz(x=a.npy(objects, a.pickled(b"N"))), "pickled Python object"),
        "claim.npz": (a.npz(x=a.npy(claim)), "needs"),
        "header.npz": (a.npz(x=a.npy(b"__import__('os').system('true')")), "is not an .npy array"),
        "nested header.npz": (a.npz(x=a.npy(b"(" * 9000)), "is not an .npy array"),
        "not npy.npz": (a.npz(x=b"nothing"), "is not an .npy array"),
        "short npy.npz": (a.npz(x=b"\x93NUMPY\1\0v"), "is not an .npy array"),
        "meta.npz": (a.npz(x=a.npy(), __meta__=a.npy()), "__meta__ is not one piece of text"),
        "empty.pth": (b"", "is empty"),
        "zeros.pth": (b"\0" * 4096, "not a checkpoint of any known kind"),
        "page.pth": (b"<!DOCTYPE html><html>404</html>", "the download went wrong"),
        "pointer.pth": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        "keras.h5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 64, "is an HDF5 file"),
        "packed.pth.gz": (b"\x1f\x8b\x08" + b"\0" * 64, "gunzip"),
        "array.npy": (a.npy(), "single .npy array"),
        "storage.pkl": (a.pickled(a.call(load, b"C\x02N.")), "the magic number is wrong"),
        "evil storage.pkl": (a.pickled(a.call(load, b"C" + bytes([len(evil)]) + evil)), "asks for os.system"),
        "storages.pkl": (a.pickled(stream + (load + b"h\x00\x85R0") * 100_000), "the same bytes again and again"),
        "escape.pth": (a.torch_zip(a.pickled(b"}" + a.text("\x1b[2J") + a.tensor() + b"s")), "which no model has"),
        "escaping global.pkl": (a.pickled(a.stack_global("os", "system\n\x1b[2J")), "os.system\\n\\x1b[2J"),
        "long global.pkl": (a.pickled(a.stack_global("os", "x" * 900)), "..."),
        "number.pkl": (a.pickled(b"K\x01"), "holds a int where a state dict belongs"),
        "no tensors.pkl": (a.pickled(a.state_dict(x=b"K\x01")), "holds no tensors"),
    }


def _patch_directory(data, at, new):
    start = data.rindex(b"PK\x01\x02")
    return data[: start + at] + new + data[start + at + len(new) :]


def _patch_end(data, at, new):
    start = data.rindex(b"PK\x05\x06")
    return data[: start + at] + new + data[start + at + len(new) :]


def _zip64_locator(data, offset):
    start = data.rindex(b"PK\x05\x06")
    return data[:start] + b"PK\x06\x07" + b"\0" * 4 + offset + b"\1\0\0\0" + _patch_end(data, 16, b"\xff" * 4)[start:]


def shared(rng):
    """Return a pickle body of containers that hold each other again and again, some of them as keys."""
    body, n = b"I0\np0\n0", 1
    for _ in range(rng.randrange(4, 60)):
        parts = [
            b"g%d\n" % rng.randrange(n) if rng.random() < 0.3 else b"g%d\n" % (n - 1) for _ in range(rng.randrange(60))
        ]
        kind = rng.choice("tttlllddddd" if rng.random() < 0.98 else "s")
        if kind == "d":
            keys = [rng.choice([b"I%d\n" % i, a.text(str(i))]) for i in range(len(parts))]
            if parts and rng.random() < 0.1:
                keys[0] = parts[0]
            parts = [key + part for key, part in zip(keys, parts, strict=True)]
        opening, closing = {"t": (b"(", b"t"), "l": (b"(", b"l"), "d": (b"(", b"d"), "s": (b"(", b"\x91")}[kind]
        body += opening + b"".join(parts) + closing + b"p%d\n0" % n
        n += 1
    last = b"g%d\n" % (n - 1)
    rebuild, dtype = a.global_("torch._utils", "_rebuild_tensor_v2"), a.global_("numpy", "dtype")
    ends = [
        last,
        a.state_dict(model=last),
        a.call(rebuild, last, b"I0\n", last, last),
        a.call(dtype, last),
        a.call(a.global_("collections", "OrderedDict"), last),
        a.global_("some.where", "Module") + last + b"\x81" + last + b"b",
    ]
    return body + rng.choice(ends)
