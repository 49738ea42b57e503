"""Which library this process judges: ours, or the one that a worker was told of at its start."""

from __future__ import annotations

from verify.spec import COMPUTED
from verify.targets import devices
from verify.targets.course.library import Library
from verify.targets.course.probe import load

_foreign: Library | None = None
_path = ""  # where it was looked for


def use(path: str) -> None:
    """Somebody else's library from here on; this process prints nothing any more."""
    global _foreign, _path
    _foreign, _path = load(path), path


def foreign() -> Library | None:
    """Somebody else's library, where this process judges one."""
    return _foreign


def device_status(name: str) -> str | None:
    """None when the device can be used here, otherwise why not and what to do."""
    return devices.device_status(name) if _foreign is None else _foreign.device_status(name)


def computed_dtypes(name: str) -> tuple[str, ...] | None:
    """The dtypes that a device computes in; None where it cannot be asked."""
    return devices.computed_dtypes(name) if _foreign is None else COMPUTED


def rounds_factors(name: str) -> bool:
    """Whether a device may round the factors of float32 products to TF32."""
    return _foreign is None and name in devices.DEVICES and devices.rounds_factors(name)


def environment(threads: int | None = None) -> dict[str, str]:
    """Pins the thread count; what verdicts record of where they were made."""
    if _foreign is None:
        return devices.environment(threads)
    return {"target": _path}
