"""What the option --calibration names."""

from pathlib import Path


def check_calibration(path: str) -> None:
    """Look at the samples' file before TensorFlow is loaded for it.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It is no file of arrays.
    """
    import numpy as np

    place = Path(path)
    if place.is_dir():
        return
    if not place.is_file():
        raise FileNotFoundError(f"--calibration {path}: no such file or folder")
    try:
        loaded = np.load(place, mmap_mode="r", allow_pickle=False)
        names = loaded.zip.namelist() if isinstance(loaded, np.lib.npyio.NpzFile) else ["x.npy"]
        if not all(name.endswith(".npy") for name in names):
            raise ValueError(f"it holds {names[0]}")
    except Exception as error:
        # np.load raises zipfile, pickle, EOF and value errors alike for a damaged file.
        why = "it is none, or holds Python objects" if "pickle" in str(error) else error
        raise ValueError(
            f"--calibration {path} is not a readable .npy or .npz file, nor a folder of images: "
            f"{why}"
        ) from None
    if not names:
        raise ValueError(f"--calibration {path} holds no arrays")
