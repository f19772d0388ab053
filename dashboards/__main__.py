"""`python -m dashboards` writes all dashboards and alert rules anew."""

import sys

from . import build

if __name__ == "__main__":
    for path in build.write():
        sys.stdout.write(f"{path}\n")
