"""Writes docs/asyncapi.json, the description of the station's three sockets in AsyncAPI 3.0, from the code.

Run `python -m tools.asyncapi` after a change of pipeline/messages.py or requests.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec

from pipeline import requests
from pipeline.record_config import RECORDED_KINDS
from pipeline.wire import EVENT_KINDS, HEADERS, PREFIX, WITH_PAYLOAD
from tools.schemas import render

PATH = Path(__file__).resolve().parents[1] / "docs" / "asyncapi.json"
JSON = "application/json"
PARAMETERS = {
    "line": {"description": "Name of the production line: letters, digits, _ and -, at most 32."},
    "station": {"description": "Name of the station, likewise."},
    "camera": {"description": "Name of the camera, likewise."},
    "kind": {"description": "What the event is of.", "enum": list(EVENT_KINDS)},
}
DETAILS = {"result": "camera", "amend": "camera", "heatmap": "camera", "image": "camera", "event": "kind"}


def document() -> dict[str, Any]:
    """The whole description."""
    kinds: list[Any] = [*HEADERS.values(), *get_args(requests.Request), *get_args(requests.Reply)]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "HLGFA line monitor",
            "version": "1.0",
            "description": "ZeroMQ, multipart messages; docs/wire.md says in words what the frames are.",
        },
        "defaultContentType": JSON,
        "servers": {
            "results": _server(5550, "XPUB: connect a SUB socket."),
            "heatmaps": _server(5551, "XPUB: connect a SUB socket."),
            "replay": _server(5552, "ROUTER: connect a DEALER or REQ socket."),
        },
        "channels": {kind: _channel(kind) for kind in HEADERS} | _request_channels(),
        "operations": {f"publish-{kind}": _publish(kind) for kind in HEADERS} | _request_operations(),
        "components": {
            "schemas": schemas,
            "messages": _messages(),
        },
    }


def _server(port: int, description: str) -> dict[str, Any]:
    return {"host": f"127.0.0.1:{port}", "protocol": "zmtp", "description": description}


def _channel(kind: str) -> dict[str, Any]:
    """One topic; the address is frame 0."""
    names = ["line", "station", *([DETAILS[kind]] if kind in DETAILS else [])]
    detail = f"{{{DETAILS[kind]}}}/" if kind in DETAILS else ""
    recorded = "Can be replayed." if kind in RECORDED_KINDS else "Cannot be replayed."
    server = "heatmaps" if kind in WITH_PAYLOAD else "results"
    payload = f" and the {kind}'s payload as frame 2" if kind in WITH_PAYLOAD else ""
    return {
        "address": f"{PREFIX}{{line}}/{{station}}/{kind}/{detail}",
        "description": f"The address is frame 0, the message frame 1{payload}. {recorded}",
        "servers": [{"$ref": f"#/servers/{server}"}],
        "parameters": {name: PARAMETERS[name] for name in names},
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"}},
    }


def _request_channels() -> dict[str, Any]:
    """The ROUTER has no topics: everything goes to whoever asked."""
    asked = [f"{_op(kind)}-request" for kind in get_args(requests.Request)]
    answered = [f"{_op(kind)}-reply" for kind in get_args(requests.Reply)]
    return {
        name: {
            "address": None,
            "servers": [{"$ref": "#/servers/replay"}],
            "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in messages},
        }
        for name, messages in (("requests", asked), ("replies", answered))
    }


def _publish(kind: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{kind}"},
        "messages": [{"$ref": f"#/channels/{kind}/messages/{kind}"}],
    }


def _request_operations() -> dict[str, Any]:
    """One a request; `replay` is answered by any number of items and an end."""
    answers = {"replay": ["item", "end"]}
    found = {}
    for kind in get_args(requests.Request):
        name = _op(kind)
        replies = [*answers.get(name, [name]), "error"]
        found[name] = {
            "action": "receive",
            "channel": {"$ref": "#/channels/requests"},
            "messages": [{"$ref": f"#/channels/requests/messages/{name}-request"}],
            "reply": {
                "channel": {"$ref": "#/channels/replies"},
                "messages": [{"$ref": f"#/channels/replies/messages/{reply}-reply"} for reply in replies],
            },
        }
    return found


def _messages() -> dict[str, Any]:
    messages: dict[str, Any] = {kind: _message(header) for kind, header in HEADERS.items()}
    messages |= {f"{_op(kind)}-request": _message(kind) for kind in get_args(requests.Request)}
    return messages | {f"{_op(kind)}-reply": _message(kind) for kind in get_args(requests.Reply)}


def _message(kind: type[msgspec.Struct]) -> dict[str, Any]:
    summary = (kind.__doc__ or "").splitlines()[0]
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"name": kind.__name__, "summary": summary, "contentType": JSON, "payload": schema}


def _op(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def main(path: Path = PATH) -> None:
    """Write the file."""
    path.write_text(render(document()), encoding="utf-8")


if __name__ == "__main__":
    main()
