"""Random graphs: the file of each says what its model says, and nothing stays float unsaid."""

import numpy as np
import pytest

from tests.edgekit.quantization.random_graphs import outcomes


def check(found, share):
    assert [o for o in found if o.error] == []
    assert [o for o in found if o.silent] == []
    far = [o for o in found if o.beyond > 0.05]
    assert len(far) <= share * len(found), far


def test_a_few_graphs():
    check(outcomes([0, 1, 2]), share=0)


@pytest.mark.slow
def test_hundreds_of_graphs():
    parts = np.arange(1000, 1200).reshape(-1, 10)
    check([o for part in parts for o in outcomes(part.tolist())], share=0.02)
