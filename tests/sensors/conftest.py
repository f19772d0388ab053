"""The files here are run by tests/test_sensors.py, each in a process of its own, and not collected from here."""

collect_ignore_glob = ["*.py"]
