import pytest

from converters.child import ChildError, run_module


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that the child can import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(code):
        (tmp_path / "job_module.py").write_text(code)
        return "job_module"

    return write


def test_output_and_arguments(module):
    assert run_module(module("import sys; print(sys.argv[1:])"), "a", "b c") == "['a', 'b c']\n"


def test_the_exceptions_own_line_is_the_reason(module):
    code = "print('noise')\ntry: 1/0\nexcept Exception: raise ValueError('the reason\\nand more')"
    with pytest.raises(ChildError, match="^ValueError: the reason$") as error:
        run_module(module(code))
    assert "noise" in error.value.output


def test_a_crash_of_native_code_is_named(module):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    with pytest.raises(ChildError, match="crashed with SIGSEGV"):
        run_module(module(code))


def test_a_hang_ends(module):
    with pytest.raises(ChildError, match="no answer after 1 s"):
        run_module(module("import time; time.sleep(60)"), timeout=1)


def test_a_silent_failure(module):
    with pytest.raises(ChildError, match="without a word"):
        run_module(module("import os; os._exit(3)"))
