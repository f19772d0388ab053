"""Features of a spoken word: against the definitions, on tones whose place is known, and where silence must not count."""

from array import array
from math import cos, log, log10, pi, sin, sqrt

from given import Numbers, error_of

from tegu.speech import CENTRES, Mfcc, fft, gain, mel_edges

RATE = 8000


def tone(hertz, count, loudness=8000):
    return [int(loudness * sin(2 * pi * hertz * i / RATE)) for i in range(count)]


def noise(seed, count, loudness):
    numbers = Numbers(seed)
    return [int(numbers.real(loudness)) for _ in range(count)]


def word(pitch=1.0):
    """A fifth of a second: a low tone, then a high one, that begins and ends at 0."""
    return tone(400 * pitch, 800) + tone(2000 * pitch, 800)


def furthest(a, b):
    assert len(a) == len(b)
    return max(abs(a[i] - b[i]) for i in range(len(a)))


def of(samples, **settings):
    return list(Mfcc(**settings).features(array("f", samples)))


def log_bands(features, count=16):
    """The logarithms of the bands of each frame, out of as many coefficients: the inverse cosine transform.

    But for a constant, coefficient 0 being against its mean.
    """
    rows = []
    for at in range(0, len(features), count):
        c = [features[at + k] / gain(k) + CENTRES.get(k, 0.0) for k in range(count)]
        c[0] /= sqrt(2.0)
        rows.append(
            [
                sqrt(2.0 / count) * sum(c[k] * cos(pi * k * (m + 0.5) / count) for k in range(count))
                for m in range(count)
            ]
        )
    return rows


def loudest(row):
    return row.index(max(row))


# --- the parts ---


def test_the_transform_is_the_one_of_the_definition():
    for size in (2, 8, 128):
        values = noise(size, size, 1.0 * (1 << 14))
        real, imag = array("f", values), array("f", bytes(4 * size))
        angles = [2 * pi * i / size for i in range(size // 2)]
        fft(real, imag, array("f", [cos(a) for a in angles]), array("f", [-sin(a) for a in angles]))
        for k in range(size):
            assert abs(real[k] - sum(values[n] * cos(2 * pi * k * n / size) for n in range(size))) < 0.5, k
            assert abs(imag[k] + sum(values[n] * sin(2 * pi * k * n / size) for n in range(size))) < 0.5, k


def test_the_transform_of_complex_numbers_keeps_their_places():
    real, imag = array("f", [0, 1, 0, 0]), array("f", [0, 0, 0, 1])
    fft(real, imag, array("f", [1, 0]), array("f", [0, -1]))  # x1 = 1, x3 = i: X_k = (-i)^k + i * i^k
    assert list(real) == [1, -1, -1, 1]
    assert list(imag) == [1, -1, -1, 1]


def test_the_filters_are_evenly_spread_in_mel():
    edges = mel_edges(1, 1.0)  # 150.49 and 2097.07 mel, the middle is 1123.78
    assert furthest(edges, [100.0, 1197.4, 3800.0]) < 0.1
    assert furthest(mel_edges(1, 1.05), [1.05 * edge for edge in edges]) < 1e-3


def by_definition(samples, filters, coefficients):
    """The coefficients 1 and above of one frame, step by step as the file's head has it."""
    size = len(samples)
    mean = sum(samples) / size
    x = [s - mean for s in samples]
    x = [x[i] - 0.95 * x[max(0, i - 1)] for i in range(size)]
    x = [x[i] * (0.54 - 0.46 * cos(2 * pi * i / (size - 1))) for i in range(size)]
    mels = [2595 * log10(1 + hertz / 700) for hertz in (100, 3800)]
    mels = [mels[0] + i * (mels[1] - mels[0]) / (filters + 1) for i in range(filters + 2)]
    edges = [700 * (10 ** (mel / 2595) - 1) for mel in mels]
    bands = [0.0] * filters
    for k in range(size // 2):
        power = sum(x[n] * cos(2 * pi * k * n / size) for n in range(size)) ** 2
        power += sum(x[n] * sin(2 * pi * k * n / size) for n in range(size)) ** 2
        for m in range(filters):
            low, peak, high = edges[m : m + 3]
            hertz = k * RATE / size
            bands[m] += power * max(0.0, min((hertz - low) / (peak - low), (high - hertz) / (high - peak)))
    logs = [log(max(band, 1e-6 * max(bands))) for band in bands]
    found = []
    for c in range(1, coefficients):
        total = sum(logs[m] * cos(pi * c * (m + 0.5) / filters) for m in range(filters)) * sqrt(2 / filters)
        found.append((total - {2: 2.0, 4: -1.3, 5: -1.3}.get(c, 0.0)) * (0.1 + 0.06 * c))
    return found


def test_a_frame_has_the_coefficients_of_the_definition():
    hiss = noise(5, 128, 4096.0)
    samples = [hiss[i] + value for i, value in enumerate(tone(700, 128, 3000))]
    found = of(samples, frames=2)
    assert abs(found[0]) < 1e-5  # both frames are the whole recording: as loud as their mean
    assert furthest(found[1:13], by_definition(samples, 16, 13)) < 1e-4
    assert furthest(found[13:], found[:13]) < 1e-5


# --- a word ---


def test_a_word_is_20_frames_of_13_numbers():
    assert len(of(word())) == 260


def test_a_tone_is_loudest_in_the_filter_that_peaks_there():
    edges = mel_edges(16, 1.0)
    for m in range(2, 16):  # below, neighbours share a bin
        rows = log_bands(of(tone(edges[m + 1], 1600), coefficients=16))
        assert [loudest(row) for row in rows] == [m] * 20, m


def test_a_word_is_what_it_was_when_silence_or_a_faint_noise_is_around_it():
    plain = of(word())
    for around in ([0] * 960, noise(3, 960, 64.0)):
        for padded in (around + word(), word() + around, around + word() + around):
            assert furthest(of(padded), plain) < 0.2
    assert furthest(of([0] * 960 + word() + [0] * 80), plain) < 0.01


def test_what_is_as_loud_as_the_trim_is_part_of_the_word():
    soft = tone(1000, 800, 800)  # a hundredth of the word's energy
    assert furthest(of(soft + word(), trim=0.02), of(word(), trim=0.02)) < 0.2
    assert loudest(log_bands(of(soft + word(), coefficients=16, trim=0.005))[0]) != loudest(
        log_bands(of(word(), coefficients=16, trim=0.005))[0]
    )


def test_a_slow_word_has_its_sounds_in_the_same_frames_as_a_fast_one():
    for count in (400, 800, 2400):
        rows = log_bands(of(tone(400, count) + tone(2000, count), coefficients=16))
        low, high = loudest(rows[0]), loudest(rows[-1])
        assert low < high
        assert [loudest(row) for row in rows[:9]] == [low] * 9
        assert [loudest(row) for row in rows[11:]] == [high] * 9


def test_loudness_and_an_offset_of_the_microphone_do_not_count():
    plain = of(word())
    assert furthest(list(Mfcc().features([3.0 * s for s in word()])), plain) < 1e-3
    assert furthest(of([s + 500 for s in word()]), plain) < 1e-3
    assert furthest(list(Mfcc().features([s / 32768 for s in word()])), plain) < 1e-3


def test_the_loudness_is_told_against_its_mean():
    sound = [0] + noise(2, 127, 8192.0)  # noqa: RUF005 - MicroPython has no other way
    found = of(sound + tone(600, 1583) + [0] + [s / 2 for s in sound])
    assert abs(sum(found[::13])) < 1e-4
    quarter = log(4.0) * 16 * sqrt(2 / 16) * 0.1  # of the power in each of 16 bands
    assert abs(found[0] - found[-13] - quarter) < 0.01


def test_warped_filters_hear_a_warped_word_as_the_plain_ones_hear_the_plain_word():
    heard = log_bands(of(word(1.05), coefficients=16, warp=1.05))
    plain = log_bands(of(word(), coefficients=16))
    assert [loudest(row) for row in heard] == [loudest(row) for row in plain]
    assert furthest(of(word(1.05), warp=1.05), of(word())) < furthest(of(word(1.05)), of(word()))


def test_a_recording_leaves_nothing_behind_for_the_next():
    mfcc = Mfcc()
    first = list(mfcc.features(array("h", word())))
    mfcc.features(array("h", noise(1, 3000, 8192.0)))
    assert list(mfcc.features(array("h", word()))) == first


# --- what cannot be used ---


def test_a_recording_without_a_word_is_refused():
    mfcc = Mfcc()
    assert "at least 128 samples, not 127" in error_of(ValueError, mfcc.features, array("h", tone(500, 127)))
    for silent in ([0] * 800, [7] * 800, [float("nan")] * 800, [1.0] * 799 + [float("inf")]):
        assert "silent or not finite" in error_of(ValueError, mfcc.features, silent)


def test_settings_that_cannot_work_are_refused():
    assert "power of two, such as 128, not 200" in error_of(ValueError, Mfcc, 8000, 200)
    assert "2 frames or more" in error_of(ValueError, Mfcc, 8000, 128, 1)
    assert "as many filters as coefficients" in error_of(ValueError, Mfcc, 8000, 128, 20, 12, 13)
    assert "64 filters are too narrow" in error_of(ValueError, Mfcc, 8000, 128, 20, 64, 13)
    assert "do not fit a rate of 6000 Hz" in error_of(ValueError, Mfcc, 6000)
    assert "do not fit a rate of 8000 Hz" in error_of(ValueError, Mfcc, 8000, 128, 20, 16, 13, 0.005, 1.1)
