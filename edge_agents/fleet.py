"""A fleet of agents in one process, a thread and a broker connection each. `tegu fleet`: a building to try things on."""

import argparse
import logging
import signal
import sys
import threading

from .agent import Agent, make_source
from .place import Place, add_link, add_site, add_telling

log = logging.getLogger("tegu.fleet")
STOP_S = 10.0


class Fleet:
    """Runs agents side by side: `with Fleet(agents): ...`; leaving it stops them."""

    def __init__(self, agents: list[Agent]) -> None:
        self.agents = agents
        self.failed: list[str] = []  # devices that ended by an error or were refused
        self._threads = [
            threading.Thread(target=self._run, args=(agent,), name=agent.place.device, daemon=True) for agent in agents
        ]

    def __enter__(self) -> "Fleet":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self.agents:
            agent.stop()
        for thread in self._threads:
            thread.join(STOP_S)

    def wait(self) -> None:
        """Until every agent has ended by itself."""
        for thread in self._threads:
            thread.join()

    def _run(self, agent: Agent) -> None:
        try:
            agent.run()
        except Exception:
            log.exception("%s ended", agent.place.device)
            self.failed.append(agent.place.device)
        if agent.refused:
            log.error("the broker refuses %s: %s (user name, password?)", agent.place.device, agent.refused)
            self.failed.append(agent.place.device)


def run(arguments: list[str]) -> int:
    """`tegu fleet`: simulated rooms, one agent each, until interrupted."""
    parser = argparse.ArgumentParser("tegu fleet", description="Run many agents of simulated rooms in one process.")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--prefix", default="room", help="devices, and users of the broker: PREFIX-1, PREFIX-2, ...")
    parser.add_argument("--seed", type=int, default=1, help="of the simulated building")
    add_link(parser, "of all; or in TEGU_PASSWORD")
    add_site(parser)
    add_telling(parser)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        agents = [
            Agent(
                Place(
                    device=f"{options.prefix}-{n}",
                    site=options.site,
                    model=options.model,
                    host=options.host,
                    port=options.port,
                    password=options.password,
                    ca=options.ca,
                    state_folder=options.state,
                    energy=options.energy,
                    room=f"{options.prefix}-{n}",
                    telemetry_s=options.telemetry,
                    curve_every=options.curve_every,
                ),
                make_source("simulated", {"seed": str(options.seed), "number": str(n)}),
            )
            for n in range(1, options.count + 1)
        ]
    except (ValueError, OSError) as error:
        sys.stderr.write(f"tegu fleet: {error}\n")
        return 1

    def leave(*_: object) -> None:
        for agent in agents:
            agent.stop()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    with Fleet(agents) as fleet:
        fleet.wait()
    return 1 if fleet.failed else 0
