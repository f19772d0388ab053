# What is frozen into a firmware of one's own: MicroPython's make ... FROZEN_MANIFEST=mcu_firmware/manifest.py
package("tegu", base_path="lib", opt=3)
for name in (
    "main",
    "device",
    "board",
    "energy",
    "flash",
    "radio",
    "registry",
    "samples",
    "sensors",
    "serial_link",
    "slots",
):
    module(name + ".py", opt=3)
