"""`tegu registry` and `tegu deploy`: arguments in, tables out. They work on a service or on a folder (access.py)."""
