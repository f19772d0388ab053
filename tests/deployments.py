"""Deployments for tests: made, answered for and told in one line each."""

from typing import Any

from coordinator.deploying.stages import (
    Candidate,
    Deployment,
    Rules,
    plan,
)

NEW, OLD = "presence-2", "presence-1"


def candidates(count: int, **parts: Any) -> list[Candidate]:
    """d00, d01, ... all ready, on mains, running the earlier model under desired version 4."""
    known = {"state": "ready", "energy": "mains", "earlier": OLD, "version": 4, **parts}
    return [Candidate(f"d{at:02d}", **known) for at in range(count)]


def rules(**parts: Any) -> Rules:
    """One telemetry a device, no hold time, 100 s of patience, all of a stage are needed."""
    return Rules(**{"samples": 1, "patience_s": 100.0, "needed_percent": 100.0, **parts})


def started(devices: int | list[Candidate] = 20, now_s: float = 0.0, **parts: Any) -> Deployment:
    """A deployment that has asked its first device."""
    chosen = candidates(devices) if isinstance(devices, int) else devices
    deployment = plan(7, NEW, "room type = office", chosen, rules(**parts))
    deployment.start(now_s)
    deployment.tick(now_s)
    return deployment


def asked(deployment: Deployment) -> list[str]:
    """Who is to be told of the new model, since this was last called."""
    return [device for _, device, _, model in deployment.effects() if model == deployment.model]


def take(deployment: Deployment, *devices: str) -> None:
    """These devices report what is desired of them."""
    for device in devices:
        move = deployment.moves[device]
        deployment.reported(device, move.version, move.wanted)


def tell(deployment: Deployment, device: str, at: int, **numbers: float) -> None:
    """The telemetry number `at` of a device's first life."""
    deployment.telemetry(device, {"boot": 1, "bytes_telemetry_up": at, **numbers})


def statuses(deployment: Deployment) -> dict[str, list[str]]:
    """Devices by status."""
    return {status: list(devices) for status, devices in deployment.summary()["devices"].items()}
