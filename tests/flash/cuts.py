"""Cuts the power at every operation of many saves, and prints what was left: `cuts.py FIRMWARE SEED`.

Each save is run again from the same memory, once for each of its operations and each way to tear it. Then a new file
system is mounted over what is left: the piece that was being saved must be the old one or the new one, the others as
they were, and the next save must work. Last, at random, the power goes in a save and again in the one after it.
"""

import json
import random
import sys

from pieces import ROUND, held, mount, new_memory, parts, try_to_save, unmount
from ram_flash import TEARS

ROUNDS = 3
DOUBLE_CUTS = 500
OPERATIONS = {"boot": 2, "learned": 42, "init": 162}  # at least, of a save

# What became of the cuts, for each way to tear.
FIELDS = ("cuts", "old", "new", "none", "wrong", "stuck", "unmounted")
tally = {tear: dict.fromkeys(FIELDS, 0) for tear in TEARS}
stories = []


def count(tear, field, story):
    tally[TEARS[tear]][field] += 1
    if field not in ("old", "new"):
        stories.append(f"{field}: {story}")


def save(memory, name, number, at=0, tear=0, bit=0):
    """(operations, was it cut off) of one save on a freshly mounted file system."""
    device = mount(memory)
    device.cut(at, tear, bit)
    error = try_to_save(name, number)
    unmount()
    return device.operations, error is not None


def cut(memory, saves, name, at, tear):
    """(number of the save that is there after a cut in the next one of `name`, or None; its story)"""
    bit = random.getrandbits(16)
    story = f"{name} {saves[name] + 1}, operation {at} {TEARS[tear]}, bit {bit}"
    _, was_cut = save(memory, name, saves[name] + 1, at, tear, bit)
    tally[TEARS[tear]]["cuts"] += was_cut
    field, number = look(memory, saves, name)
    count(tear, field, story)
    return number, story


def look(memory, saves, name):
    try:
        mount(memory)
    except OSError:
        return "unmounted", None
    result = judge(saves, name)
    unmount()
    return result


def judge(saves, name):
    """(what is there: old, new, wrong or none; the number of its save)"""
    for piece in saves:
        if piece != name and held(piece) != parts(piece, saves[piece]):
            return "wrong", None
    got = held(name)
    if got == parts(name, saves[name]):
        return "old", saves[name]
    if got == parts(name, saves[name] + 1):
        return "new", saves[name] + 1
    return ("none" if got is None else "wrong"), None


def must_go_on(memory, name, number, tear, story):
    mount(memory)
    if try_to_save(name, number) or held(name) != parts(name, number):
        count(tear, "stuck", story)
    unmount()


def sweep(memory, saves, work):
    for name in ROUND * ROUNDS:
        work[:] = memory
        operations, _ = save(work, name, saves[name] + 1)
        for at in range(1, operations + 1):
            for tear in range(len(TEARS)):
                work[:] = memory
                number, story = cut(work, saves, name, at, tear)
                if number is not None:
                    must_go_on(work, name, number + 1, tear, story)
        save(memory, name, saves[name] + 1)
        saves[name] += 1


def twice(memory, saves, work):
    for _ in range(DOUBLE_CUTS):
        work[:] = memory
        now, name = dict(saves), random.choice(("boot", "boot", "learned", "init"))
        for _ in range(2):
            tear = random.randrange(len(TEARS))
            now[name], story = cut(work, now, name, random.randint(1, OPERATIONS[name]), tear)
            if now[name] is None:
                break
        else:
            must_go_on(work, name, now[name] + 1, tear, story)


def main():
    random.seed(int(sys.argv[2]))
    memory = new_memory()
    saves, work = {"boot": 0, "learned": 0, "init": 0}, bytearray(len(memory))
    sweep(memory, saves, work)
    single = sum(counts["cuts"] for counts in tally.values())
    twice(memory, saves, work)
    both = sum(counts["cuts"] for counts in tally.values())
    print(json.dumps({"single": single, "double": both - single, "tally": tally, "stories": stories[:5]}))


main()
