"""Why some applications cannot be hosted by anybody: their limits in words."""

from __future__ import annotations

from optmodels.placement.accelerators.columns import may_host
from optmodels.placement.accelerators.hardware import (
    Application,
    Hardware,
    allowed_ms,
    frontend_load,
    frontend_response_ms,
)
from optmodels.placement.accelerators.instance import AcceleratorsInstance


def explain(instance: AcceleratorsInstance) -> list[str]:
    """Say which applications no node can host even alone, and why; empty if there are none.

    The others may still have to be rejected, for want of nodes.
    """
    hardware = instance.hardware
    return [
        f"{application.name}: {'; '.join(_reasons(hardware, application))}"
        for application in instance.applications
        if not any(may_host(hardware, node, application) for node in range(len(hardware.nodes)))
    ]


def _reasons(hardware: Hardware, application: Application) -> list[str]:
    """What keeps an application off each kind of node, one clause each."""
    found: dict[str, None] = {}
    for node in range(len(hardware.nodes)):
        found.setdefault(_reason(hardware, node, application))
    return list(found)


def _reason(hardware: Hardware, node: int, application: Application) -> str:
    device, rules = hardware.device(node), hardware.rules
    model = hardware.models[application.model]
    if not device.offers(application.model):
        return f"{device.name} does not run {model}"
    needed, usable = device.memory_of((application,)), hardware.usable_mb(node)
    if not hardware.has_room(node, (application,)):
        return f"{device.name} may use {usable:.6g} MB, but {needed:.6g} MB are needed"
    front = frontend_load(device, application)
    if front > rules.frontend_load_max:
        return (
            f"its front end on {device.name} would have a load of {front:.4g}, above "
            f"{rules.frontend_load_max:g}"
        )
    service = float(device.service_ms[application.model])
    busy = application.rate_per_ms * service
    if busy > rules.load_max:
        return f"{device.name} alone would have a load of {busy:.4g}, above {rules.load_max:g}"
    before = rules.network_ms + frontend_response_ms(device, application)
    left = allowed_ms(device, application, rules)
    return (
        f"of {application.slo_ms:g} ms network and front end take {before:.4g}, which leaves "
        f"{left:.4g} ms for an inference of {service:.4g} ms and its wait on {device.name}"
    )
