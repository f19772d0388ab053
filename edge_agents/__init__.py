"""Tegu's devices on Linux: the Raspberry Pi agent, the serial gateway and simulated fleets."""
