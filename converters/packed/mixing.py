"""Predicting a bit from several contexts, whose opinions are weighed by how right they were.

Each context has a slot: a probability that moves toward the bits seen there, the faster the fewer
they were. The logits are mixed with weights that are learned bit by bit.

Source: Mahoney 2005, "Adaptive weighing of context models for lossless data compression"
(PAQ); all in integers here, so that every machine computes the same.
"""

from collections import namedtuple
from operator import mul

import numpy as np

from converters.packed.compiled import FAST, compiled
from converters.packed.logistic import SQUASHED, STRETCHED, squash
from converters.packed.range_coder import code_bit

INPUTS = 10
WEIGHT_SETS = 96
# Bits seen until a slot moves at its slowest.
_PATIENCE = 255
# How far toward a bit a slot moves that has seen so many, in 1/65536.
_RATES = np.array([655360 // (10 * n + 16) for n in range(_PATIENCE + 1)], np.int64)
# How much of its logit it may say, in 1/256.
_TRUST = np.array(
    [0] + [256 * (10 * n + 3) // (10 * n + 12) for n in range(1, _PATIENCE + 1)], np.int64
)
_FIRST_WEIGHT = 9000  # in 1/65536

Mixer = namedtuple(
    "Mixer",
    "bits probabilities counts weights logits slots contexts squashed stretched rates trust",
)


def new_mixer(bits: int) -> Mixer:
    """A mixer that knows nothing.

    Without numba its parts are lists, whose elements Python reads faster than those of arrays.

    Args:
        bits: Each context has two to the power of this slots.
    """
    parts = (
        np.full(INPUTS << bits, 32768, np.int32),
        np.zeros(INPUTS << bits, np.int32),
        np.full(WEIGHT_SETS * INPUTS, _FIRST_WEIGHT, np.int32),
        np.zeros(INPUTS, np.int64),
        np.zeros(INPUTS, np.int64),
        np.zeros(INPUTS, np.int64),
        SQUASHED,
        STRETCHED,
        _RATES,
        _TRUST,
    )
    return Mixer(bits, *(parts if FAST else (part.tolist() for part in parts)))


@compiled
def hash_contexts(mixer, count: int) -> None:
    """Put keys in the place of the first `count` contexts, once for all nodes of a tree."""
    for i in range(count):
        context = int(mixer.contexts[i])
        mixer.contexts[i] = (context * 0x9E3779B1 + i * 0x27D4EB2F) & 0xFFFFFFFF


@compiled
def _code_in_steps(mixer, node, count, chosen, bit, pace, state, payload) -> int:
    _find_slots(mixer, node, count)
    probability = _predict(mixer, chosen)
    bit = code_bit(bit, probability, state, payload)
    _learn(mixer, chosen, probability, bit, pace)
    return bit


@compiled
def _find_slots(mixer, node: int, count: int) -> None:
    """The slots of the first `count` contexts, for one node of a tree of decisions."""
    bits = mixer.bits
    for i in range(count):
        place = (int(mixer.contexts[i]) + node * 0x85EBCA6B) & 0xFFFFFFFF
        place ^= place >> 15
        place = (place * 0x2C1B3C6D) & 0xFFFFFFFF
        mixer.slots[i] = (i << bits) + (place >> (32 - bits))


@compiled
def _predict(mixer, chosen: int) -> int:
    """The probability of a 1, in 1/65536, by one set of weights."""
    total = 0
    for i in range(INPUTS):
        slot = int(mixer.slots[i])
        logit = int(mixer.stretched[int(mixer.probabilities[slot]) >> 4])
        logit = (logit * int(mixer.trust[int(mixer.counts[slot])])) >> 8
        mixer.logits[i] = logit
        total += logit * int(mixer.weights[chosen * INPUTS + i])
    return min(max(squash(total >> 16, mixer.squashed), 24), 65512)


@compiled
def _learn(mixer, chosen: int, probability: int, bit: int, pace: int) -> None:
    """Move the weights and slots of the last prediction toward the bit."""
    miss = ((bit << 16) - probability) * pace
    for i in range(INPUTS):
        place, slot = chosen * INPUTS + i, int(mixer.slots[i])
        weight = int(mixer.weights[place])
        change = (int(mixer.logits[i]) * miss + (1 << 19)) >> 20
        mixer.weights[place] = min(max(weight + change, -(1 << 20)), 1 << 20)
        count, old = int(mixer.counts[slot]), int(mixer.probabilities[slot])
        goal = 65535 if bit else 0
        mixer.probabilities[slot] = old + (((goal - old) * int(mixer.rates[count])) >> 16)
        if count < len(mixer.rates) - 1:
            mixer.counts[slot] = count + 1


def _code_at_once(mixer, node, count, chosen, bit, pace, state, payload) -> int:
    """The same in what Python does quickest: lists, each made in one go."""
    bits, probabilities, counts, weights, _, slots, keys, squashed, stretched, rates, trust = mixer
    turn, shift, size = node * 0x85EBCA6B, 32 - bits, 1 << bits
    base, places = 0, []
    for key in keys[:count]:
        place = (key + turn) & 0xFFFFFFFF
        places.append(base + (((place ^ place >> 15) * 0x2C1B3C6D & 0xFFFFFFFF) >> shift))
        base += size
    places += slots[count:]
    olds = [probabilities[place] for place in places]
    ages = [counts[place] for place in places]
    logits = [stretched[p >> 4] * trust[age] >> 8 for p, age in zip(olds, ages, strict=True)]
    first = chosen * INPUTS
    mine = weights[first : first + INPUTS]
    probability = squash(sum(map(mul, logits, mine)) >> 16, squashed)
    probability = min(max(probability, 24), 65512)
    bit = code_bit(bit, probability, state, payload)
    miss = ((bit << 16) - probability) * pace
    mine = [w + (logit * miss + 524288 >> 20) for w, logit in zip(mine, logits, strict=True)]
    if max(mine) > 1 << 20 or min(mine) < -1 << 20:
        mine = [min(max(weight, -1 << 20), 1 << 20) for weight in mine]
    weights[first : first + INPUTS] = mine
    goal = 65535 if bit else 0
    for place, old, age in zip(places, olds, ages, strict=True):
        probabilities[place] = old + ((goal - old) * rates[age] >> 16)
        if age < _PATIENCE:
            counts[place] = age + 1
    return bit


# Codes one bit: `(mixer, node, count, chosen, bit, pace, state, payload)`, where the first `count`
# contexts, hashed, say their slots and others have theirs; `chosen` is the set of weights, and the
# bit is of no account when reading. Slots and weights move toward the bit, which is returned.
code_predicted_bit = _code_in_steps if FAST else _code_at_once
