"""What Caffe's messages miss in protobuf 4 and later, which refuses code that an old compiler generated."""

import ast
import functools
import sys
from typing import Any

from chainfpn.compat.shims import Module


def _messages(name: str) -> dict[str, Any]:
    """Return the namespace of a generated module, made of the serialized description in its source.

    It has a descriptor pool of its own: another ``caffe.proto`` may be loaded in the process.
    """
    from google.protobuf import descriptor_pool
    from google.protobuf.internal import builder

    loader: Any = sys.modules[name].__loader__
    if not hasattr(loader, "get_source"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    call = loader.get_source(name).partition("serialized_pb=_b(")[2].partition("_sym_db.RegisterFileDescriptor")[0]
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(ast.literal_eval(call[: call.rindex("')") + 1]).encode("latin1"))
    descriptor = pool.FindFileByName("caffe.proto")
    contents: dict[str, Any] = {"DESCRIPTOR": descriptor}
    builder.BuildMessageAndEnumDescriptors(descriptor, contents)
    builder.BuildTopDescriptorsAndMessages(descriptor, name, contents)
    return contents


PROTOBUF = tuple(
    Module(
        name,
        since="protobuf 4.21",
        needed_by=needed_by,
        stand_in="the same messages, made by today's protobuf",
        contents=functools.partial(_messages, name),
    )
    for name, needed_by in (
        ("chainer.links.caffe.protobuf3.caffe_pb2", "chainer: links.caffe, exporters"),
        ("caffe_pb2", "chainercv: examples/pspnet/caffe2npz.py, which brings its own"),
    )
)
