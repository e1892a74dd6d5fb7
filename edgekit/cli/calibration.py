"""What the options --calibration, --calibration-for and --keep-float name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from converters.calibration.signatures import (
    MissingSamplesError,
    calls_of,
    samples_by_signature,
)
from converters.flatbuffer import Flatbuffer
from converters.reader import read_models

# The path of samples, or `{signature: path}` with None for one that stays float32.
Samples = str | dict[str, str | None]


def samples_given(
    calibration: str | None, by_signature: tuple[tuple[str, str], ...], floats: tuple[str, ...]
) -> Samples | None:
    """The options as `convert` takes them.

    Args:
        calibration: Value of --calibration.
        by_signature: Values of --calibration-for.
        floats: Values of --keep-float.

    Raises:
        ValueError: They contradict each other.
    """
    if not by_signature and not floats:
        return calibration
    if calibration is not None:
        option = "--calibration-for" if by_signature else "--keep-float"
        raise ValueError(
            f"--calibration cannot be combined with {option}: name the samples of each signature "
            "with --calibration-for SIGNATURE PATH"
        )
    keys = [*(key for key, _ in by_signature), *floats]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ValueError(
            f"signature {twice!r} is given twice, by --calibration-for or --keep-float: once is "
            "enough"
        )
    return {**dict(by_signature), **dict.fromkeys(floats)}


def check_calibration(model: str, calibration: Samples) -> None:
    """Look at the samples' files before TensorFlow is loaded for them.

    Args:
        model: Path of the model.
        calibration: What `samples_given` found.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It is no file of arrays, or a signature of the model has no samples.
    """
    if isinstance(calibration, Mapping):
        for path in filter(None, calibration.values()):
            check_samples(path, "--calibration-for")
    else:
        check_samples(calibration)
    if Path(model).suffix == ".tflite":
        _check_signatures(model, calibration)
    elif isinstance(calibration, Mapping) and not Path(model).is_dir():
        raise ValueError(
            "--calibration-for and --keep-float are for a .tflite or SavedModel with several "
            "signatures: a Keras model takes --calibration"
        )


def _check_signatures(model: str, calibration: Samples) -> None:
    models = read_models(Flatbuffer.from_file(model).content)
    signatures = {m.signature.key: calls_of(m) for m in models if m.signature is not None}
    named = calibration if isinstance(calibration, Mapping) else {}
    unknown = [key for key in named if key not in signatures]
    if unknown:
        has = ", ".join(map(repr, signatures)) or "none"
        raise ValueError(
            f"--calibration-for or --keep-float {unknown[0]}: no such signature in {model}, which "
            f"has {has}"
        )
    with missing_samples_in_options(model):
        if signatures:
            samples_by_signature(calibration, signatures)


@contextmanager
def missing_samples_in_options(model: str) -> Iterator[None]:
    """Within it a signature without samples is said in the words of the options.

    Args:
        model: Path of the model.
    """
    try:
        yield
    except MissingSamplesError as error:
        ways = " ".join(f"--calibration-for {key} PATH" for key in error.signatures)
        raise ValueError(
            f"no samples for signature{'s' if len(error.signatures) > 1 else ''} "
            f"{', '.join(map(repr, error.signatures))} of {model}: give every signature its own, "
            f"{ways}, or leave it in float32, --keep-float {error.signatures[0]}"
        ) from None


def check_samples(path: str, option: str = "--calibration") -> None:
    """Look at a file of samples before TensorFlow is loaded for it.

    Args:
        path: Of the file or folder.
        option: Which names it. Defaults to `"--calibration"`.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It is no file of arrays.
    """
    import numpy as np

    place = Path(path)
    if place.is_dir():
        return
    if not place.is_file():
        raise FileNotFoundError(f"{option} {path}: no such file or folder")
    try:
        loaded = np.load(place, mmap_mode="r", allow_pickle=False)
        names = loaded.zip.namelist() if isinstance(loaded, np.lib.npyio.NpzFile) else ["x.npy"]
        if not all(name.endswith(".npy") for name in names):
            raise ValueError(f"it holds {names[0]}")
    except Exception as error:
        # np.load raises zipfile, pickle, EOF and value errors alike for a damaged file.
        why = "it is none, or holds Python objects" if "pickle" in str(error) else error
        raise ValueError(
            f"{option} {path} is not a readable .npy or .npz file, nor a folder of images: {why}"
        ) from None
    if not names:
        raise ValueError(f"{option} {path} holds no arrays")
