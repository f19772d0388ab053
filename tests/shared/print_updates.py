"""Prints the updates of 200 seeded deltas, so that two interpreters can be compared: `python print_updates.py`."""

import sys
from binascii import hexlify

HERE = sys.argv[0].rsplit("/", 1)[0] if "/" in sys.argv[0] else "."
sys.path.insert(0, HERE)
sys.path.insert(0, HERE + "/../../mcu_firmware/lib")

from given import Numbers, delta  # noqa: E402

from tegu.model import Model  # noqa: E402
from tegu.sparse import top_p  # noqa: E402
from tegu.wire.update import decode_update, encode_update  # noqa: E402

SPECS = (
    "1 | dense 1 linear",  # 2 parameters
    "5 | dense 6 tanh | dense 3 softmax",  # 57
    "11 | dense 24 tanh | dense 16 tanh local | dense 2 softmax",  # 322 shared
    "1 | dense 32 tanh | dense 32 tanh | dense 1 linear",  # 1153
    "60 | dense 50 relu | dense 10 softmax",  # 3560
)


def main():
    numbers = Numbers(1)
    for number in range(200):
        model = Model(SPECS[min(number % 7, 4) if number < 100 else number % 4])
        values = delta(numbers, model.shared_size)
        indices = top_p(values, (1.0, 5.0, 10.0, 25.0, 100.0)[numbers.below(5)])
        payload = encode_update(model, values, indices, numbers.below(3), 1 + number, number * 37, number, 32)
        update = decode_update(payload, model)
        assert (
            encode_update(model, values, update.indices, update.codec, 1 + number, number * 37, number, 32) == payload
        )
        print(hexlify(payload).decode(), hexlify(bytes(update.values)).decode())


if __name__ == "__main__":
    main()
