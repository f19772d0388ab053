"""The `tegu` command line: finds the subcommand among the entry points of `tegu.commands` and calls it.

Each package brings its own subcommands (see pyproject.toml), imported only when called, so that a Raspberry Pi
without the coordinator's libraries can still run `tegu agent`. A missing library is a sentence that names its extra.
"""

import sys
from importlib.metadata import EntryPoint, entry_points, version

EXTRA_OF_COMMAND = {
    "coordinator": "coordinator",
    "deploy": "registry",
    "registry": "registry",
    "demo": "demo",
    "broker": "demo",
    "experiment": "experiments",
    "model": "tensorflow",
}


def commands() -> dict[str, EntryPoint]:
    """Every installed subcommand by its name."""
    return {entry.name: entry for entry in entry_points(group="tegu.commands")}


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand. Returns its exit status: 0 done, 1 failed, 2 called wrongly."""
    arguments = sys.argv[1:] if arguments is None else arguments
    known = commands()
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write("usage: tegu COMMAND [options]\n\ncommands: " + ", ".join(sorted(known)) + "\n")
        sys.stdout.write("`tegu COMMAND --help` tells the options of one.\n")
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        sys.stdout.write(f"tegu {version('tegu')}\n")
        return 0
    if arguments[0] not in known:
        sys.stderr.write(f"tegu: no command {arguments[0]!r}; there are: {', '.join(sorted(known))}\n")
        return 2
    try:
        run = known[arguments[0]].load()
    except ModuleNotFoundError as error:
        extra = EXTRA_OF_COMMAND.get(arguments[0])
        if extra is None:
            raise
        sys.stderr.write(
            f"tegu {arguments[0]}: needs {error.name}, which is not installed; "
            f"install it with: pip install 'tegu[{extra}]' (in a checkout: pip install -e '.[{extra}]')\n"
        )
        return 1
    status: int = run(arguments[1:])
    return status


if __name__ == "__main__":
    sys.exit(main())
