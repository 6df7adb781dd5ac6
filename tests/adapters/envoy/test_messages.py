"""The messages are ours alone: no name of Envoy's or Google's is taken from whoever has those packages."""

from __future__ import annotations

from vallum.adapters.envoy import messages_pb2 as pb


def test_they_have_a_file_and_a_package_of_their_own() -> None:
    assert pb.DESCRIPTOR.name == "vallum/adapters/envoy/messages.proto"
    assert pb.DESCRIPTOR.package == "vallum.envoy"
    assert all(one.full_name.startswith("vallum.envoy.") for one in pb.DESCRIPTOR.message_types_by_name.values())


def test_they_stand_on_nothing_but_protobufs_own() -> None:
    assert {one.name.rpartition("/")[0] for one in pb.DESCRIPTOR.dependencies} == {"google/protobuf"}


def test_text_that_is_no_utf8_is_a_value_and_no_fault() -> None:
    http = pb.AttributeContext.HttpRequest(path=b"/\xff", headers={"x": b"\xff"})
    again = pb.AttributeContext.HttpRequest.FromString(http.SerializeToString())
    assert (again.path, again.headers["x"]) == (b"/\xff", b"\xff")
