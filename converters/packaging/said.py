"""What is known of a model beside its bytes: by its own metadata, and by who packages it."""

from dataclasses import dataclass

from converters.metadata import Metadata
from converters.packaging.labels import labels_by_output
from converters.packaging.normalization import Normalization, said_normalizations
from converters.packaging.ports import Port, Ports


@dataclass(frozen=True)
class Said:
    """What is said of a model; who packages it has the last word.

    Attributes:
        metadata: Those of the file.
        normalizations: `{input name: Normalization}` given.
        labels: The output that scores classes, and their names, given.
    """

    metadata: Metadata
    normalizations: dict[str, Normalization]
    labels: tuple[Port, list[str]] | None

    def all_normalizations(self, ports: Ports) -> dict[str, Normalization]:
        """`{input name: Normalization}` of all inputs for which one is known."""
        return {**said_normalizations(ports, self.metadata), **self.normalizations}

    def all_labels(self, ports: Ports) -> dict[str, list[str]]:
        """`{output name: names}` of all outputs for which some are known."""
        return labels_by_output(ports, self.metadata, self.labels)
