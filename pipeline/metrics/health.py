"""Whether the station can be relied on now, and if not, why. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pipeline.metrics.account import Account


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of /healthz: `ok` only while the station is fresh and ready."""

    ok: bool
    reasons: list[str]
    state: str | None
    epoch: str | None
    status_age_s: float | None


def health(account: Account, now_ns: int) -> Health:
    """Judge what was heard last."""
    status, view = account.view.status, account.view
    reasons = list(_reasons(account, now_ns))
    return Health(
        ok=not reasons,
        reasons=reasons,
        state=None if status is None or not view.fresh(now_ns) else status.state,
        epoch=None if status is None else status.epoch,
        status_age_s=None if account.heard_ns is None else (now_ns - account.heard_ns) / 1e9,
    )


def _reasons(account: Account, now_ns: int) -> list[str]:
    status = account.view.status
    if status is None:
        return ["no status was heard so far: start the station, and compare line, name and addresses"]
    if not account.view.fresh(now_ns):
        return ["the station is silent: three statuses in a row are missing"]
    reasons = [] if status.ready else [f"the station is not ready: {status.state}"]
    if status.fault is not None:
        reasons.append(status.fault)
    states = {camera.name: camera.state for camera in status.cameras}
    for name in account.cameras:
        if states.get(name) not in {"ready", "ended"}:
            reasons.append(f"camera {name} is {states.get(name, 'unknown')}")
    if status.engine != "ready":
        reasons.append(f"the engine is {status.engine}")
    return reasons
