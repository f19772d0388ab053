"""A spoken word as 260 numbers, on the board that heard it: 13 mel cepstral coefficients at 20 moments of the word.

The steps are those of S. Davis, P. Mermelstein, "Comparison of parametric representations for monosyllabic word recognition",
IEEE ASSP 28(4), 1980: short windows, power spectrum, triangular mel filters, logarithm, cosine transform. Ours is what
makes a word of any length and loudness comparable with as little as a board has:
- the word is what lies between the first and the last hundredth of a second that is loud enough;
- its frames are spread evenly over it, so that a slow word gives as many as a fast one;
- the loudness (coefficient 0) is told against the word's mean. Of the others no mean is taken off: over one word it
  is what was said, not who said it; taking it off cost 8 points of accuracy on unseen speakers;
- the others get a fixed centre and scale, for which a network of tanh units learns well at a step of about 0.03.
Multiplying the samples by a constant changes nothing.
"""

from array import array
from math import cos, log, log10, pi, sin, sqrt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Floats = array[float]

LOWEST_HZ = 100.0
HIGHEST_HZ = 3800.0
EMPHASIS = 0.95  # of the sample before, taken off: speech falls by 6 dB an octave
FLOOR = 1e-6  # of the loudest band: quieter ones count as this much
CENTRES = {2: 2.0, 4: -1.3, 5: -1.3}  # of coefficients that are not near 0 in the mean


def mel_edges(filters: int, warp: float) -> list[float]:
    """The filters + 2 frequencies in hertz where the triangles begin, peak and end, times warp."""
    low, high = (2595.0 * log10(1.0 + hertz / 700.0) for hertz in (LOWEST_HZ, HIGHEST_HZ))
    step = (high - low) / (filters + 1)
    return [warp * 700.0 * (10.0 ** ((low + i * step) / 2595.0) - 1.0) for i in range(filters + 2)]


def gain(coefficient: int) -> float:
    """What a coefficient is multiplied by, higher ones being smaller by nature."""
    return 0.1 + 0.06 * coefficient


class Mfcc:
    """Features of one recording of one word; everything is allocated here, once.

    frame: samples of a window, a power of two. trim: a hundredth of a second belongs to the word if its energy is above
    this share of the loudest one's. warp: the filters' frequencies are multiplied by it, which is as if the speaker's
    mouth were smaller (above 1) or larger (N. Jaitly, G. Hinton, "Vocal tract length perturbation", ICML workshop 2013).
    ValueError if frame is not a power of two, or the filters do not fit between 0 Hz and half of rate_hz, or are too
    narrow for the frame, or there are fewer than 2 frames or fewer filters than coefficients.
    """

    def __init__(
        self,
        rate_hz: int = 8000,
        frame: int = 128,
        frames: int = 20,
        filters: int = 16,
        coefficients: int = 13,
        trim: float = 0.005,
        warp: float = 1.0,
    ) -> None:
        if frame < 2 or frame & (frame - 1):
            raise ValueError("a frame is a power of two, such as 128, not %d samples" % frame)
        if frames < 2 or not 1 <= coefficients <= filters:
            raise ValueError("there must be 2 frames or more, and at least as many filters as coefficients")
        self.rate_hz = rate_hz
        self.frame = frame
        self.frames = frames
        self.filters = filters
        self.coefficients = coefficients
        self.trim = trim
        self._filters(mel_edges(filters, warp))
        self._window = array("f", [0.54 - 0.46 * cos(2 * pi * i / (frame - 1)) for i in range(frame)])
        self._cos = array("f", [cos(2 * pi * i / frame) for i in range(frame // 2)])
        self._sin = array("f", [-sin(2 * pi * i / frame) for i in range(frame // 2)])
        self._real = array("f", bytes(4 * frame))
        self._imag = array("f", bytes(4 * frame))
        self._bands = array("f", bytes(4 * frames * filters))
        self._dct = array("f", bytes(4 * coefficients * filters))
        for c in range(coefficients):
            for m in range(filters):
                self._dct[c * filters + m] = gain(c) * sqrt(2.0 / filters) * cos(pi * c * (m + 0.5) / filters)
        self._out = array("f", bytes(4 * frames * coefficients))

    def features(self, samples: "Sequence[float]") -> "Floats":
        """frames x coefficients numbers, the coefficients of a frame side by side. The next call reuses the array.

        samples: one recording of one word, array('h') or any sequence of numbers. ValueError if it is shorter than a
        frame, silent, or not finite.
        """
        start, end, mean = self._word(samples)
        for at in range(self.frames):
            self._load(samples, start + at * (end - start - self.frame) // (self.frames - 1), mean)
            fft(self._real, self._imag, self._cos, self._sin)
            self._sum_bands(at * self.filters)
        self._to_logarithms()
        for at in range(self.frames):
            self._transform(at * self.filters, at * self.coefficients)
        self._level()
        return self._out

    def _filters(self, edges: list[float]) -> None:
        """For each bin of the spectrum the filter on whose rising side it is, and its weight there.

        What is left to 1 is its weight in the filter before, which falls there.
        """
        hertz = self.rate_hz / self.frame
        if not 0.0 < edges[0] < edges[-1] <= self.rate_hz / 2:
            raise ValueError(
                "filters from %d to %d Hz do not fit a rate of %d Hz" % (edges[0], edges[-1], self.rate_hz)
            )
        self._first = int(edges[0] // hertz) + 1
        self._rising = bytearray(0)
        self._weights = array("f")
        reached = bytearray(self.filters + 2)
        band = 0
        for k in range(self._first, int(-(-edges[-1] // hertz))):
            while k * hertz >= edges[band + 1]:
                band += 1
            self._rising.append(band)
            self._weights.append((k * hertz - edges[band]) / (edges[band + 1] - edges[band]))
            reached[band] = 1
        for m in range(self.filters):
            if not (reached[m] or reached[m + 1]):
                raise ValueError("%d filters are too narrow for a frame of %d samples" % (self.filters, self.frame))

    def _word(self, samples: "Sequence[float]") -> "tuple[int, int, float]":
        """(first sample of the word, the one behind its last, mean of the recording); at least a frame apart."""
        size = len(samples)
        chunk = self.rate_hz // 100
        if size < max(self.frame, chunk):
            raise ValueError("a recording has at least %d samples, not %d" % (max(self.frame, chunk), size))
        mean = sum(samples) / size
        loudest = 0.0
        for at in range(0, size - chunk + 1, chunk):
            loudest = max(loudest, _energy(samples, at, chunk, mean))
        if not 0.0 < loudest < 1e30:  # as NaN is not
            raise ValueError("the recording is silent or not finite: nothing to make features of")
        start = 0
        while _energy(samples, start, chunk, mean) <= self.trim * loudest:
            start += chunk
        end = size // chunk * chunk
        while _energy(samples, end - chunk, chunk, mean) <= self.trim * loudest:
            end -= chunk
        start = min(start, size - self.frame)
        return start, max(end, start + self.frame), mean

    def _load(self, samples: "Sequence[float]", start: int, mean: float) -> None:
        """A frame, its high tones raised, under the window. Before the first sample there is another like it."""
        before = samples[max(0, start - 1)] - mean
        for i in range(self.frame):
            now = samples[start + i] - mean
            self._real[i] = (now - EMPHASIS * before) * self._window[i]
            self._imag[i] = 0.0
            before = now

    def _sum_bands(self, at: int) -> None:
        """The power that each filter lets through, into _bands from `at`."""
        bands = self._bands
        last = self.filters - 1
        for m in range(self.filters):
            bands[at + m] = 0.0
        for i in range(len(self._weights)):
            k = self._first + i
            power = self._real[k] * self._real[k] + self._imag[k] * self._imag[k]
            m = self._rising[i]
            if m <= last:
                bands[at + m] += self._weights[i] * power
            if m:
                bands[at + m - 1] += (1.0 - self._weights[i]) * power

    def _to_logarithms(self) -> None:
        bands = self._bands
        floor = FLOOR * max(bands)
        if floor <= 0.0:
            raise ValueError("the recording has nothing between %d and %d Hz" % (LOWEST_HZ, HIGHEST_HZ))
        for i in range(len(bands)):
            bands[i] = log(max(floor, bands[i]))

    def _transform(self, bands_at: int, out_at: int) -> None:
        """The cosine transform of one frame's bands, scaled."""
        row = 0
        for c in range(self.coefficients):
            total = -CENTRES.get(c, 0.0) * gain(c)
            for m in range(self.filters):
                total += self._dct[row + m] * self._bands[bands_at + m]
            row += self.filters
            self._out[out_at + c] = total

    def _level(self) -> None:
        """Coefficient 0 against its mean over the word."""
        out = self._out
        total = 0.0
        for at in range(0, len(out), self.coefficients):
            total += out[at]
        for at in range(0, len(out), self.coefficients):
            out[at] -= total / self.frames


def _energy(samples: "Sequence[float]", at: int, count: int, mean: float) -> float:
    total = 0.0
    for i in range(at, at + count):
        away = samples[i] - mean
        total += away * away
    return total


def fft(real: "Floats", imag: "Floats", cosines: "Floats", sines: "Floats") -> None:
    """The discrete Fourier transform in place; the length is a power of two.

    cosines and sines: of -2 pi i / length for i below half of the length. Radix 2, decimation in time (J. Cooley,
    J. Tukey, Mathematics of Computation 19, 1965).
    """
    size = len(real)
    _reverse_bits(real, imag)
    half = 1
    while half < size:
        stride = size // (2 * half)
        for i in range(half):
            c = cosines[i * stride]
            s = sines[i * stride]
            for a in range(i, size, 2 * half):
                b = a + half
                re = c * real[b] - s * imag[b]
                im = c * imag[b] + s * real[b]
                real[b] = real[a] - re
                imag[b] = imag[a] - im
                real[a] += re
                imag[a] += im
        half *= 2


def _reverse_bits(real: "Floats", imag: "Floats") -> None:
    """Each number to the place whose binary digits read backwards."""
    size = len(real)
    j = 0
    for i in range(1, size):
        bit = size >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j |= bit
        if i < j:
            real[i], real[j] = real[j], real[i]
            imag[i], imag[j] = imag[j], imag[i]
