"""Six real boards and 23 real models, of which tests.registry_building makes as many as are wanted.

Figures of both (free RAM and flash, kB; sensors; multiply-accumulates; top-1 accuracy) are as the authors of arXiv 2405.07601
published them in their repository Haoyu-R/SeLoC-ML; a metric of 0 there, which says that none was measured, is none here.
Names and sentences are ours.
"""

from dataclasses import dataclass

ACCELEROMETER, CAMERA, GYROSCOPE = "sosax:Accelerometer", "sosax:Camera", "sosax:Gyroscope"
MAGNETOMETER, MICROPHONE, THERMOMETER = "sosax:Magnetometer", "sosax:Microphone", "sosax:Thermometer"
MOVES, HEARS, SEES = (ACCELEROMETER, GYROSCOPE), (MICROPHONE,), (CAMERA,)


@dataclass(frozen=True)
class Board:
    title: str
    ram_kb: int
    flash_kb: int
    sensors: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """A real model."""

    name: str
    ram_kb: float
    flash_kb: float
    multiply_accumulates: int
    sensors: tuple[str, ...]
    top_1_percent: float | None
    purpose: str


BOARDS = (
    Board("Arduino Nano 33 BLE", 172, 628, (ACCELEROMETER, GYROSCOPE, MAGNETOMETER, MICROPHONE, THERMOMETER)),
    Board("Arduino TinyML Kit", 187, 785, (ACCELEROMETER, CAMERA, GYROSCOPE, MAGNETOMETER, MICROPHONE, THERMOMETER)),
    Board("Adafruit PyBadge", 109, 385, (ACCELEROMETER,)),
    Board("Adafruit TFLite Micro Kit", 96, 245, (ACCELEROMETER, MICROPHONE)),
    Board("Siemens SSI Web", 86, 348, (ACCELEROMETER, GYROSCOPE, THERMOMETER)),
    Board("Syntiant TinyML", 25, 1883, (ACCELEROMETER, GYROSCOPE, MICROPHONE)),
)
ZOO = (
    Known("keyword-cnn-small", 15.168, 76.752, 2_498_304, HEARS, 91.4, "Tells spoken keywords apart."),
    Known("keyword-ds-cnn", 32.528, 47.616, 2_656_768, HEARS, 93.5, "Tells spoken keywords apart, separably."),
    Known("machine-sound", 128.256, 252.848, 18_740_190, HEARS, 95.5, "Hears when a machine sounds wrong."),
    Known("wake-picture", 206.976, 542.4, 22_565_040, SEES, 85.5, "Sees whether a person is there."),
    Known("motion-autoencoder", 2.816, 4.736, 1_008, (ACCELEROMETER,), None, "Finds movement that is unusual."),
    Known("sine", 1.936, 2.472, 288, (), None, "Computes a sine wave."),
    Known("wand-four", 16.784, 19.616, 62_016, (ACCELEROMETER,), None, "Tells four gestures apart."),
    Known("wand-digits", 12.08, 31.256, 701_056, MOVES, None, "Reads digits written in the air."),
    Known("dance", 4.848, 147.828, 36_495, MOVES, None, "Tells dance steps apart."),
    Known("speech-forward", 10.48, 18.856, 336_000, HEARS, None, "Hears forward and backward."),
    Known("speech-up-down", 8.08, 22.712, 340_000, HEARS, None, "Hears up, down and go."),
    Known("speech-yes-1", 8.08, 18.712, 336_000, HEARS, 92.1, "Hears yes and no."),
    Known("speech-yes-2", 8.8, 8.864, 381_824, HEARS, 82.3, "Hears yes and no."),
    Known("speech-yes-3", 10.48, 18.856, 336_000, HEARS, 93.2, "Hears yes and no."),
    Known("speech-yes-4", 8.8, 8.864, 381_824, HEARS, 83.0, "Hears yes and no."),
    Known("motion-left", 4.048, 18.48, 15_780, MOVES, 99.1, "Tells left from right."),
    Known("motion-up", 4.048, 18.48, 15_780, MOVES, 99.2, "Tells up from forward."),
    Known("move", 2.848, 6.48, 3_780, MOVES, None, "Tells movements apart."),
    Known("person", 94.128, 236.072, 7_158_144, SEES, None, "Sees whether a person is in the picture."),
    Known("snoring", 25.968, 219.896, 2_119_808, HEARS, 94.6, "Hears somebody snore."),
    Known("squats", 2.224, 17.048, 3_780, MOVES, None, "Counts squats."),
    Known("alarm-clock", 116.48, 531.624, 7_387_976, SEES, None, "Sees somebody greet the morning."),
    Known("voice-turn", 6.288, 8.048, 26_032, HEARS, None, "Hears left and right."),
)
# Not of the real boards: what a building's devices have, and with what chance.
BUILDING_SENSORS = {
    "tegu:Co2Sensor": 0.35,
    THERMOMETER: 0.5,
    "tegu:Hygrometer": 0.4,
    "tegu:LightSensor": 0.3,
    "tegu:MotionSensor": 0.25,
    "tegu:PressureSensor": 0.1,
    "tegu:SoundLevelSensor": 0.1,
    "tegu:VocSensor": 0.08,
    "tegu:ParticleSensor": 0.05,
    "tegu:WindowContact": 0.15,
    "tegu:PowerMeter": 0.05,
}
ROOM_TYPES = ("office", "office", "office", "meeting", "corridor", "kitchen", "laboratory", "store", "lobby")
