"""A fitted network as numbers; knows numpy alone."""

from dataclasses import dataclass
from typing import Final, Literal

from flyball_proto.columns import Column
from flyball_trainer.forms.forest import Link

Activation = Literal["relu", "tanh"]
ACTIVATIONS: Final[dict[str, Activation]] = {"relu": "relu", "tanh": "tanh"}


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """`x @ weight + bias`."""

    weight: Column  # f64 (in, out)
    bias: Column  # f64 (out,)


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Layers with an activation after each but the last, over standardised, clipped values.

    The first layer takes 2 * width numbers: the values, 0 where one is missing, then 1 for each that is.
    """

    link: Link
    activation: Activation
    mean: Column  # f64 (width,)
    scale: Column  # f64 (width,), > 0
    layers: tuple[Layer, ...]

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.mean)

    @property
    def outputs(self) -> int:
        """Numbers a row: 1, or one a class."""
        return len(self.layers[-1].bias)
