import pytest

from device_bench.setting import Setting, settings_of


def test_every_combination_once():
    found = settings_of(["xnnpack", "builtin", "xnnpack"], [1, 2], None, "interpreter")
    assert found == [
        Setting(kernels, threads) for kernels in ("xnnpack", "builtin") for threads in (1, 2)
    ]


def test_words_are_what_differs():
    found = settings_of(["xnnpack", "builtin"], [1, 2], None, "interpreter")
    assert [setting.words(found) for setting in found] == [
        "xnnpack, 1 thread",
        "xnnpack, 2 threads",
        "builtin, 1 thread",
        "builtin, 2 threads",
    ]
    (alone,) = settings_of("xnnpack", 1, 4, "compiled")
    assert alone.words([alone]) == ""
    batches = settings_of("xnnpack", 1, [None, 8], "interpreter")
    assert [setting.words(batches) for setting in batches] == ["own batch", "batch 8"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernels": "gpu"}, "`kernels` must be one of .* kernels='gpu'"),
        ({"runtime": "micro"}, "`runtime` must be one of .* runtime='micro'"),
        ({"threads": 0}, "`threads` must be above 0"),
        ({"threads": 2.0}, "`threads` must be a whole number"),
        ({"threads": True}, "`threads` must be a whole number"),
        ({"batch": -1}, "`batch` must be above 0"),
        ({"threads": []}, "`threads` must not be an empty list"),
        (
            {"kernels": ["builtin", "reference"], "runtime": "compiled"},
            "runtime='interpreter' has them",
        ),
    ],
)
def test_bad_values(change, message):
    given = {"kernels": "xnnpack", "threads": 1, "batch": None, "runtime": "interpreter"}
    with pytest.raises(ValueError, match=message):
        settings_of(**given | change)
