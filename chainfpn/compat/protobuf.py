"""What Chainer's Caffe modules miss in protobuf 4 and later, which refuses code that an old compiler generated."""

from typing import Any

from chainfpn.compat.shims import Module


def _caffe_pb2() -> dict[str, Any]:
    """Return the namespace of ``caffe_pb2``, made of the serialized description in the generated file.

    It has a descriptor pool of its own: another ``caffe.proto`` may be loaded in the process.
    """
    import ast
    import importlib.resources

    from google.protobuf import descriptor_pool
    from google.protobuf.internal import builder

    source = importlib.resources.files("chainer").joinpath("links/caffe/protobuf3/caffe_pb2.py").read_text("utf-8")
    call = source[source.index("serialized_pb=_b(") : source.index("_sym_db.RegisterFileDescriptor")]
    text = ast.literal_eval(call[call.index("(") + 1 : call.rindex("')") + 1])
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(text.encode("latin1"))
    descriptor = pool.FindFileByName("caffe.proto")
    contents: dict[str, Any] = {"DESCRIPTOR": descriptor}
    builder.BuildMessageAndEnumDescriptors(descriptor, contents)
    builder.BuildTopDescriptorsAndMessages(descriptor, "caffe_pb2", contents)
    return contents


PROTOBUF = (
    Module(
        "chainer.links.caffe.protobuf3.caffe_pb2",
        since="protobuf 4.21",
        needed_by="chainer: links.caffe, exporters",
        stand_in="the same messages, made by today's protobuf",
        contents=_caffe_pb2,
    ),
)
