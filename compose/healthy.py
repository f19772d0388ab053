"""Whether a coordinator is connected to its broker, by its metrics: the container's health check. Exit code 0 or 1.

healthy.py http://127.0.0.1:9464/metrics
"""

import sys
import urllib.request

ANSWER_S = 5.0


def healthy(url: str) -> bool:
    """The metric tegu_coordinator_connected is there, and 1."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return False
    told = [line.rpartition(" ")[2] for line in lines if line.startswith("tegu_coordinator_connected")]
    return bool(told) and all(float(value) == 1.0 for value in told)


if __name__ == "__main__":
    sys.exit(not healthy(sys.argv[1]))
