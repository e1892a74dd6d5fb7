"""Outputs of two models, each read with what the other shows."""

from dataclasses import replace

from edgekit.distillation.endings import SIGMOID
from edgekit.distillation.output_activation import Activation
from edgekit.distillation.outputs import Outputs


def aligned(student: Outputs, teacher: Outputs) -> tuple[Outputs, Outputs]:
    """Both with what only one of them shows.

    Logits do not say along which axis they are those of classes; the softmax of the other does.
    Values between 0 and 1 that are compared with a sigmoid are those of one.

    Args:
        student: What the student answers with.
        teacher: What the teacher answers with.
    """
    ends = list(student.ends), list(teacher.ends)
    doubts = list(student.doubtful), list(teacher.doubtful)
    for at, place in enumerate(student.places_in(teacher)):
        if place is None:
            continue
        sides = (0, at), (1, place)
        for (side, here), (other, there) in (sides, sides[::-1]):
            if doubts[side][here] and ends[other][there].kind == SIGMOID:
                ends[side][here] = replace(ends[side][here], kind=SIGMOID)
                doubts[side][here] = False
        ends[0][at], ends[1][place] = _along_the_same(ends[0][at], ends[1][place])
    return tuple(
        replace(outputs, ends=tuple(known), doubtful=tuple(doubtful))
        for outputs, known, doubtful in zip((student, teacher), ends, doubts, strict=True)
    )


def _along_the_same(one: Activation, other: Activation) -> tuple[Activation, Activation]:
    if SIGMOID in (one.kind, other.kind) or (one.classes is None) == (other.classes is None):
        return one, other
    classes = other.classes if one.classes is None else one.classes
    return replace(one, classes=classes), replace(other, classes=classes)
