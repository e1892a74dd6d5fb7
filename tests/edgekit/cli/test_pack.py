import json
import subprocess

import pytest
from click.testing import CliRunner

from edgekit.cli import main


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_pack_then_unpack(folder, tmp_path):
    packed, back = tmp_path / "m.ekz", tmp_path / "m.tflite"
    done = run("pack", folder / "int8.tflite", "-o", packed)
    assert done.exit_code == 0, done.output
    assert "xz -9e" in done.output
    assert "times smaller" in done.output
    done = run("unpack", packed, "-o", back)
    assert done.exit_code == 0, done.output
    assert back.read_bytes() == (folder / "int8.tflite").read_bytes()


def test_json_for_machines(folder, tmp_path):
    done = run("pack", folder / "float32.tflite", "-o", tmp_path / "m.ekz", "--json")
    found = json.loads(done.stdout)
    assert found["packed_bytes"] == (tmp_path / "m.ekz").stat().st_size
    assert found["file"] == str(tmp_path / "m.ekz")
    assert set(found["rivals"]) >= {"gzip -9", "xz -9e"}


def test_the_c_sources_compile_and_unpack(folder, tmp_path):
    out = tmp_path / "firmware"
    done = run("pack", folder / "int8.tflite", "-o", tmp_path / "tiny net.ekz", "--c", out)
    assert done.exit_code == 0, done.output
    files = {path.name for path in out.iterdir()}
    assert files == {"edgekit_unpack.h", "tiny_net_ekz.h", "tiny_net_ekz.c", "tiny_net_unpack.c"}
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror"]
    sources = [out / "tiny_net_unpack.c", out / "tiny_net_ekz.c"]
    subprocess.run(["gcc", *flags, *sources, "-o", tmp_path / "unpack"], check=True)
    subprocess.run([tmp_path / "unpack"], check=True)


def test_the_input_is_not_written_over(folder, tmp_path):
    path = tmp_path / "m.tflite"
    content = (folder / "int8.tflite").read_bytes()
    path.write_bytes(content)
    done = run("pack", path, "-o", path)
    assert (done.exit_code, path.read_bytes()) == (2, content)
    assert "a file to read" in done.output
    packed = tmp_path / "m.ekz"
    run("pack", path, "-o", packed)
    assert run("unpack", packed, "-o", packed).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pack", "nothing.tflite"), "no such file: nothing.tflite"),
        (("unpack", "nothing.ekz"), "no such file: nothing.ekz"),
        (("pack", "{folder}/corrupt.tflite"), "damaged LiteRT flatbuffer"),
        (("unpack", "{folder}/int8.tflite", "-o", "{folder}/new.tflite"), "not an .ekz file"),
        (("unpack", "{folder}/int8.tflite"), "exists: name the new file with --out"),
        (("pack", "{folder}/int8.tflite", "--memory", "10"), "--memory must be at least"),
        (("pack", "{folder}/int8.tflite", "-o", "{folder}"), "is a folder: name a file in it"),
        (("pack", "{folder}/int8.tflite", "-o", "{folder}/x.npy/m.ekz"), "is a file: name a fol"),
        (("pack", "{folder}/int8.tflite", "--c", "{folder}/int8.tflite"), "is a file: name a fol"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, arguments, message):
    done = run(*(a.format(folder=folder) for a in arguments))
    assert done.exit_code == 2
    assert message in done.output
    assert len(done.output.strip().splitlines()) == 1
