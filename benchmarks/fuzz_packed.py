"""A million damaged `.ekz` files through the Python decoder, and a million through the C one.

    python benchmarks/fuzz_packed.py --count 1000000 --out benchmarks/results/fuzz_packed.json

Small packed files of every kind of segment are changed at random: bits and bytes flipped, cut,
lengthened, overwritten with numbers from elsewhere in the file; half of the time the header's
checksum is made right again, so that what lies behind it is reached. Python has to refuse each with
a `ValueError`, or unpack it to what was packed; C, built with the sanitizers for addresses and
undefined behaviour, runs `tests/converters/packed/c/fuzz_main.c`, which checks canaries around its
buffers too. Python's run is cut into parts in processes of their own, for what kills one.
"""

import json
import random
import re
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path

import click
import numpy as np
from figures import save

from converters.packed.container import number_bytes
from converters.packed.unpacking import unpacked_bytes

ROOT = Path(__file__).resolve().parent.parent
PART = 50_000


@click.command()
@click.option("--count", default=1_000_000, show_default=True, help="Damaged files per decoder.")
@click.option("--seed", default=0, show_default=True)
@click.option("--part", type=int, hidden=True, help="Run one part of Python's and print JSON.")
@click.option("--files", type=click.Path(path_type=Path), hidden=True)
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(count, seed, part, files, out):
    """Damage, decode, count."""
    if part is not None:
        print(json.dumps(_python_part(sorted(files.glob("*.ekz")), seed + part, count)))
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = _seeds(Path(folder))
        report = {"count": count, "seeds": len(paths)}
        report["python"] = _python(Path(folder), seed, count)
        print("python", json.dumps(report["python"]), flush=True)
        save(report, out)
        report["c"] = _c(paths, Path(folder), seed, count)
        print("c", json.dumps(report["c"]), flush=True)
    save(report, out)
    if report["python"]["crashes"] or report["c"]["exit_code"]:
        raise SystemExit(1)


def _seeds(folder: Path) -> list[Path]:
    """Small packed models, by every coder."""
    import keras

    import edgekit as ek
    from converters.packed import pack

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4),
        ]
    )
    sparse = model.layers[1].kernel
    chance = np.random.default_rng(0)
    sparse.assign(chance.choice([0, 0, 0, 0.5, -0.25, 0.125], sparse.shape))
    x = chance.random((32, 6, 6, 4), "float32")
    files = ek.convert(model, ["float32", "float16", "int8"], calibration=x)
    paths = []
    for name, file in files.items():
        for coder in ("smallest", "huffman"):
            packed = pack(file, coder, memory=20_000)
            paths.append(packed.save(folder / f"{name}_{coder}.ekz"))
    return paths


def _python(folder: Path, seed: int, count: int) -> dict:
    verdicts, slowest, crashes, start = Counter(), 0.0, [], time.perf_counter()
    for first in range(0, count, PART):
        size = min(PART, count - first)
        command = [sys.executable, __file__, "--count", str(size), "--seed", str(seed)]
        command += ["--part", str(first // PART), "--files", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            crashes.append({"part": first // PART, "error": done.stderr[-500:]})
            continue
        found = json.loads(done.stdout)
        verdicts.update(found["verdicts"])
        slowest = max(slowest, found["slowest_seconds"])
        crashes += found["others"]
    return {
        "crashes": crashes,
        "verdicts": dict(verdicts.most_common()),
        "slowest_seconds": round(slowest, 2),
        "seconds": round(time.perf_counter() - start),
    }


def _python_part(paths: list[Path], seed: int, count: int) -> dict:
    chance = random.Random(seed)
    seeds = [path.read_bytes() for path in paths]
    whole = [unpacked_bytes(content) for content in seeds]
    verdicts, slowest, others = Counter(), 0.0, []
    for _ in range(count):
        number = chance.randrange(len(seeds))
        damaged = _damaged(seeds[number], chance)
        start = time.perf_counter()
        try:
            same = unpacked_bytes(damaged) == whole[number]
            verdicts["the same bytes" if same else "OTHER BYTES"] += 1
            if not same:
                others.append({"other bytes": damaged.hex()})
        except ValueError as error:
            verdicts[re.sub(r"[0-9][0-9^]*", "…", str(error))] += 1
        except Exception as error:  # what the benchmark is about
            others.append({type(error).__name__: damaged.hex()})
        slowest = max(slowest, time.perf_counter() - start)
    return {"verdicts": verdicts, "slowest_seconds": slowest, "others": others}


def _damaged(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    header = _header_end(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if len(data) < 2:
            break
        place = chance.randrange(header if chance.random() < 0.5 else len(data))
        place = min(place, len(data) - 1)
        what = chance.randrange(6)
        if what == 0:
            data[place] ^= 1 << chance.randrange(8)
        elif what == 1:
            data[place] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        elif what == 2:
            del data[chance.randrange(1, len(data)) :]
        elif what == 3:
            data[place:place] = chance.randbytes(chance.randrange(1, 5))
        elif what == 4:
            data[place : place + 1] = number_bytes(chance.randrange(2 ** chance.randrange(1, 32)))
        else:
            source, size = chance.randrange(len(data)), chance.randrange(1, 9)
            data[place : place + size] = data[source : source + size]
    if chance.random() < 0.5 and len(data) > header:
        data[header - 2 : header] = (zlib.crc32(data[: header - 2]) & 0xFFFF).to_bytes(2, "little")
    return bytes(data)


def _header_end(content: bytes) -> int:
    size = shift = 0
    place = 4
    while True:
        byte = content[place]
        size |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return place + size + 2


def _c(paths: list[Path], folder: Path, seed: int, count: int) -> dict:
    source = ROOT / "tests" / "converters" / "packed" / "c" / "fuzz_main.c"
    program = folder / "fuzz"
    flags = ["-std=c99", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    include = ROOT / "converters" / "packed" / "c"
    subprocess.run(["cc", *flags, f"-I{include}", source, "-o", program], check=True)
    start = time.perf_counter()
    done = subprocess.run(
        [program, str(seed), str(count), *map(str, paths)], capture_output=True, text=True
    )
    return {
        "exit_code": done.returncode,
        "verdicts": done.stdout.strip().splitlines()[-20:],
        "error": done.stderr[-500:],
        "seconds": round(time.perf_counter() - start),
    }


if __name__ == "__main__":
    main()
