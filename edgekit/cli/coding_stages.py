"""What `pack` and `unpack` show while they work."""

from collections.abc import Callable

from converters.progress import Stages


def coding_counter(stages: Stages, description: str) -> Callable[[int, int], None]:
    """A counter of a stage that compiles the coders when the stage begins, and says so.

    By then the file has been read: what is wrong with it is said alone.
    """
    from converters.packed.warm_up import compile_coders

    report = stages.counter(description)

    def told(done: int, total: int) -> None:
        if not done:
            with stages.step("compiling the coders, once on each machine"):
                compile_coders()
        report(done, total)

    return told
