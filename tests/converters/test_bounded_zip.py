"""Files that claim far more than they hold are refused before they are unpacked."""

import json
import time
import zipfile

import numpy as np
import pytest

from converters.bounded_zip import check_zip_file
from converters.legacy.headers import read_header
from converters.samples import load_samples


def zipped(path, parts, how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def refused(call, path, message):
    start = time.process_time()
    with pytest.raises(ValueError, match=message):
        call(path)
    assert time.process_time() - start < 0.5


def test_a_configuration_that_unpacks_to_a_thousand_times_the_file(tmp_path):
    metadata = json.dumps({"keras_version": "3.9.0"})
    config = b'{"a": "' + b" " * 90_000_000 + b'"}'
    path = zipped(tmp_path / "m.keras", {"metadata.json": metadata, "config.json": config})
    refused(read_header, path, r"m\.keras unpacks to 90,000,0\d\d bytes from \d+,\d+")


def test_samples_that_do(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((300, 300, 1000), "float32"))
    refused(load_samples, tmp_path / "x.npz", "more than 200 times as many")
    np.savez(tmp_path / "y.npz", x=np.zeros((30, 30, 1000), "float32"))
    assert load_samples(tmp_path / "y.npz")["x"].shape == (30, 30, 1000)
    np.savez_compressed(tmp_path / "z.npz", x=np.zeros((30, 30, 10_000), "float32"))
    assert not load_samples(tmp_path / "z.npz")["x"].any()


def test_an_entry_that_claims_what_no_packer_packs(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a": b"abc" * 100}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(mark) + place
        content[at : at + 4] = (10**9).to_bytes(4, "little")
    path.write_bytes(content)
    refused(check_zip_file, path, "its part 'a' claims 1,000,000,000 bytes and has 300")


def test_entries_over_each_other(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a": bytes(5000), "b": bytes(5000)}, zipfile.ZIP_STORED)
    content = path.read_bytes()
    first, second = content.index(b"PK\x03\x04"), content.index(b"PK\x03\x04", 9)
    # The second one's content is cut out, and its place is the first one's.
    directory = content.index(b"PK\x01\x02")
    cut = bytearray(content[:second] + content[directory:])
    entry = cut.index(b"PK\x01\x02", cut.index(b"PK\x01\x02") + 4)
    cut[entry + 42 : entry + 46] = first.to_bytes(4, "little")
    end = cut.index(b"PK\x05\x06")
    cut[end + 16 : end + 20] = second.to_bytes(4, "little")
    path.write_bytes(cut)
    refused(check_zip_file, path, "its parts take 10,000 bytes of a file of 5,")


def test_any_other_file_is_none_of_its_business(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"no zip")
    check_zip_file(tmp_path / "x.npy")
