"""A process for LiteRT's CompiledModel: `python -m converters.packaging.compiled_run FOLDER`.

Feeds `model.tflite` the inputs of `inputs.npz`, in their order, and leaves `outputs.npz`, or
`error.txt` with why there are none. `outputs.json` says how many values to read, and their dtypes.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np


def run(folder: Path) -> None:
    """Do the job in a folder."""
    from ai_edge_litert.compiled_model import CompiledModel

    with np.load(folder / "inputs.npz") as loaded:
        inputs = [loaded[f"v{i}"] for i in range(len(loaded.files))]
    wanted = json.loads((folder / "outputs.json").read_text())
    try:
        model = CompiledModel.from_file(os.fspath(folder / "model.tflite"))
        fed, given = model.create_input_buffers(0), model.create_output_buffers(0)
        for buffer, values in zip(fed, inputs, strict=True):
            buffer.write(values)
        model.run_by_index(0, fed, given)
        found = {
            f"v{i}": buffer.read(size, np.dtype(dtype).type)
            for i, (buffer, (size, dtype)) in enumerate(zip(given, wanted, strict=True))
        }
    except (RuntimeError, ValueError, TypeError) as error:
        (folder / "error.txt").write_text(str(error) or type(error).__name__)
    else:
        np.savez(folder / "outputs.npz", **found)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
