"""Sparkplug B payloads: the part of Eclipse Tahu's sparkplug_b.proto that is used here. Pure.

The messages are described to the `protobuf` package, which onnx brings, at run time: nothing is generated and
no further library is needed (those of PyPI want paho-mqtt 1). Field numbers and data types are the proto's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Mapping

INT32, UINT32, UINT64, DOUBLE, BOOLEAN, STRING = 3, 7, 8, 10, 11, 12
"""Data types of a metric."""

Value = int | float | bool | str | None

_FIELDS = {INT32: "int_value", UINT32: "int_value", UINT64: "long_value", DOUBLE: "double_value"}
_FIELDS |= {BOOLEAN: "boolean_value", STRING: "string_value"}
_FIELD = descriptor_pb2.FieldDescriptorProto
_METRIC = (
    ("name", 1, _FIELD.TYPE_STRING),
    ("alias", 2, _FIELD.TYPE_UINT64),
    ("timestamp", 3, _FIELD.TYPE_UINT64),
    ("datatype", 4, _FIELD.TYPE_UINT32),
    ("is_historical", 5, _FIELD.TYPE_BOOL),
    ("is_transient", 6, _FIELD.TYPE_BOOL),
    ("is_null", 7, _FIELD.TYPE_BOOL),
)
_METRIC_VALUES = (
    ("int_value", 10, _FIELD.TYPE_UINT32),
    ("long_value", 11, _FIELD.TYPE_UINT64),
    ("float_value", 12, _FIELD.TYPE_FLOAT),
    ("double_value", 13, _FIELD.TYPE_DOUBLE),
    ("boolean_value", 14, _FIELD.TYPE_BOOL),
    ("string_value", 15, _FIELD.TYPE_STRING),
    ("bytes_value", 16, _FIELD.TYPE_BYTES),
)


def _describe() -> Any:
    """The class of Payload; the pool is our own, so that another program's copy of the proto does no harm."""
    file = descriptor_pb2.FileDescriptorProto(
        name="hlgfa/sparkplug_b.proto", package="org.eclipse.tahu.protobuf", syntax="proto2"
    )
    payload = file.message_type.add(name="Payload")
    metric = payload.nested_type.add(name="Metric")
    metric.oneof_decl.add(name="value")
    optional, repeated = _FIELD.LABEL_OPTIONAL, _FIELD.LABEL_REPEATED
    for name, number, kind in _METRIC:
        metric.field.add(name=name, number=number, type=kind, label=optional)
    for name, number, kind in _METRIC_VALUES:
        metric.field.add(name=name, number=number, type=kind, label=optional, oneof_index=0)
    payload.field.add(name="timestamp", number=1, type=_FIELD.TYPE_UINT64, label=optional)
    payload.field.add(
        name="metrics",
        number=2,
        type=_FIELD.TYPE_MESSAGE,
        label=repeated,
        type_name=".org.eclipse.tahu.protobuf.Payload.Metric",
    )
    payload.field.add(name="seq", number=3, type=_FIELD.TYPE_UINT64, label=optional)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("org.eclipse.tahu.protobuf.Payload"))


Payload: Any = _describe()


def encode_payload(
    metrics: Mapping[str, tuple[int, Value]], *, seq: int | None, timestamp_ms: int | None = None
) -> bytes:
    """A payload of metrics, each a data type and a value, None for null; NDEATH alone has no `seq`."""
    payload = Payload(timestamp=time.time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms)
    if seq is not None:
        payload.seq = seq
    for name, (kind, value) in metrics.items():
        metric = payload.metrics.add(name=name, timestamp=payload.timestamp, datatype=kind)
        if value is None:
            metric.is_null = True
        else:
            # A negative Int32 travels in an unsigned field, as its two's complement.
            raw = value & 0xFFFFFFFF if kind == INT32 and isinstance(value, int) else value
            setattr(metric, _FIELDS[kind], raw)
    encoded: bytes = payload.SerializeToString()
    return encoded


def asks_for_rebirth(raw: bytes) -> bool:
    """Whether an NCMD payload asks the node for its births again; what is no payload asks for nothing."""
    from google.protobuf.message import DecodeError

    try:
        payload = Payload.FromString(raw)
    except DecodeError:
        return False
    return any(metric.name == REBIRTH and metric.boolean_value for metric in payload.metrics)


REBIRTH = "Node Control/Rebirth"
