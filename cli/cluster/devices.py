"""GPUs that a cluster file may name without describing them."""

from __future__ import annotations

from dataclasses import dataclass

from routing.plan.hardware import Device


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """One line of a vendor's data sheet."""

    device: Device
    memory_bytes: float | None
    """None if not told. In decimal gigabytes, where a card has binary ones: what is left over is for temporaries."""


def _known(tflops: float, gigabytes_per_second: float, gigabytes: float) -> KnownDevice:
    return KnownDevice(Device(tflops * 1e12, gigabytes_per_second * 1e9), gigabytes * 1e9)


DEVICES = {
    # Dense float16 TFLOP/s on tensor cores, accumulated in float32; GB/s; GB. A100 and H100 are the SXM cards.
    "RTX 3090": _known(71, 936, 24),
    "RTX 4090": _known(165, 1008, 24),
    "T4": _known(65, 300, 16),
    "L4": _known(121, 300, 24),
    "A10": _known(125, 600, 24),
    "A100-40GB": _known(312, 1555, 40),
    "A100-80GB": _known(312, 2039, 80),
    "H100-80GB": _known(989, 3350, 80),
}
"""By the name that people give them."""


def known_device(name: str) -> KnownDevice | None:
    """The device of that name, whatever its spaces, dashes and capitals; None if there is none here."""
    return next((known for title, known in DEVICES.items() if _letters(title) == _letters(name)), None)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
