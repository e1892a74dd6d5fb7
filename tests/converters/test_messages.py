"""Messages between processes arrive whole, whatever else is said and whenever Ctrl-C comes."""

import _thread
import random
import signal
import threading
import time

import pytest

from converters.child import Child, run_module
from converters.interrupts import interrupts_held
from tests.converters.talking import LINES

TALKING = "tests.converters.talking"


@pytest.fixture
def ctrl_c():
    """Ctrl-C works: where tests run in the background, it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_messages_stand_alone_amid_what_else_is_printed():
    with Child(TALKING, "amid") as child:
        said = [child.hear() for _ in range(4)]
    assert said[0] == "loaded, no end of line\n"
    assert said[1] == "first\n"
    assert said[2] == f"second {'x' * 200_000}\n"
    assert said[3] == "native noise without an endprinted|more noise\n"


def test_an_answer_is_a_line_of_its_own():
    assert run_module(TALKING, "once").splitlines() == ["buffered", "{}", "INFO: at the end"]


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_at_any_moment_loses_no_message():
    done, wait = threading.Event(), random.Random(0)

    def interrupt():
        while not done.is_set():
            _thread.interrupt_main()
            time.sleep(wait.uniform(0, 2e-4))

    said, counts = [], []

    def listen():
        striking = threading.Thread(target=interrupt)
        with Child(TALKING, "apart") as child, interrupts_held() as interrupts:
            striking.start()
            while len(said) < LINES:
                said.append(child.hear(lambda: None))
            done.set()
            striking.join()
            counts.append(interrupts.count)

    with pytest.raises(KeyboardInterrupt):
        listen()
    assert said == [f"message {number}\n" for number in range(LINES)]
    assert counts[0] > 0


@pytest.mark.usefixtures("ctrl_c")
def test_what_is_held_back_is_raised_where_it_is_safe():
    reached = []

    def interrupted():
        with interrupts_held() as interrupts:
            interrupts.check()
            signal.raise_signal(signal.SIGINT)
            reached.append(interrupts.count)
            interrupts.check()
            reached.append("behind")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reached == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_held() as interrupts:
        signal.raise_signal(signal.SIGINT)
    assert interrupts.count == 0
