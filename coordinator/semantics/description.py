"""The description of a model, however it came: our own spec (models.py), a .tflite file (tflite.py), a Keras file (keras_file.py)."""

from dataclasses import dataclass

from .about import About

MOST_NUMBER = (1 << 63) - 1  # of the store's integers


@dataclass(frozen=True)
class Layer:
    """One layer, index from 1. Shapes have the batch first, which is 1 unless a file says more; activation is "" or like "relu".

    quantisation: type of the weights, of the outputs where there are none. multiply_accumulates: of Conv2D, DepthwiseConv2D
    and FullyConnected, the weights each output is a sum over, those that meet padding too; 0 for all other kinds.
    """

    index: int
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    activation: str
    quantisation: str
    parameters: int
    multiply_accumulates: int


@dataclass(frozen=True)
class Tensor:
    """An input or output of the whole model; dtype like "int8"."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Description(About):
    """A model. ram_bytes, flash_bytes: to run it; training_ram_bytes: None, it cannot learn on a device; shape_hash: of ours.

    ValueError if a number is none that the graph can hold, or if there are more texts of inputs than inputs.
    """

    layers: tuple[Layer, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    flash_bytes: int
    ram_bytes: int
    training_ram_bytes: int | None = None
    shape_hash: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.layers:
            raise ValueError("a model needs at least one layer")
        numbers = (
            self.flash_bytes,
            self.ram_bytes,
            self.training_ram_bytes or 0,
            self.multiply_accumulates,
            self.parameters,
        )
        if not all(0 <= number <= MOST_NUMBER for number in numbers):
            raise ValueError("the model is too large to be described")
        if len(self.input) > len(self.inputs) or len(self.output) > len(self.outputs):
            raise ValueError(
                f"the model has {len(self.inputs)} inputs and {len(self.outputs)} outputs; texts of more are given"
            )

    @property
    def multiply_accumulates(self) -> int:
        """Of one run, with the batch that the file has."""
        return sum(layer.multiply_accumulates for layer in self.layers)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)
