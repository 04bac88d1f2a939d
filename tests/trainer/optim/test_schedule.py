import math

import pytest

from schemas.training import LrSpec
from trainer.optim.schedule import learning_rate

TOTAL = 1000

TABLE = {
    "constant": ({"shape": "constant"}, {0: 8.0, 1: 8.0, 1000: 8.0}),
    "constant_ignores_to": ({"shape": "constant", "to": 1.0}, {0: 8.0, 1000: 8.0}),
    "constant_warmup": (
        {"shape": "constant", "warmup": 100},
        {0: 0.0, 25: 2.0, 50: 4.0, 99: 7.92, 100: 8.0, 1000: 8.0},
    ),
    "linear": ({"shape": "linear", "to": 0.0}, {0: 8.0, 250: 6.0, 500: 4.0, 1000: 0.0, 1001: 0.0}),
    "linear_to": ({"shape": "linear", "to": 4.0, "warmup": 200}, {0: 0.0, 100: 4.0, 200: 8.0, 600: 6.0, 1000: 4.0}),
    "linear_up": ({"shape": "linear", "to": 16.0}, {0: 8.0, 500: 12.0, 1000: 16.0}),
    "cosine": (
        {"shape": "cosine", "to": 0.0},
        {0: 8.0, 250: 4 + 4 * math.cos(math.pi / 4), 500: 4.0, 1000: 0.0, 2000: 0.0},
    ),
    "cosine_to": ({"shape": "cosine", "to": 2.0, "warmup": 200}, {100: 4.0, 200: 8.0, 600: 5.0, 1000: 2.0}),
    "wsd": ({"shape": "wsd", "to": 0.0, "warmup": 100}, {50: 4.0, 100: 8.0, 799: 8.0, 800: 8.0, 900: 4.0, 1000: 0.0}),
    "wsd_half": ({"shape": "wsd", "to": 4.0, "decay": 0.5}, {0: 8.0, 500: 8.0, 750: 6.0, 1000: 4.0}),
    "wsd_no_decay": ({"shape": "wsd", "to": 0.0, "decay": 0.0}, {0: 8.0, 999: 8.0, 1000: 0.0}),
    "wsd_all_decay": (
        {"shape": "wsd", "to": 0.0, "decay": 1.0, "warmup": 200},
        {100: 4.0, 200: 8.0, 600: 4.0, 1000: 0.0},
    ),
    "warmup_beyond_the_end": ({"shape": "cosine", "to": 0.0, "warmup": 2000}, {0: 0.0, 500: 2.0, 1000: 4.0}),
}


@pytest.mark.parametrize("name", TABLE)
def test_exact_values(name: str) -> None:
    spec, expected = TABLE[name]
    found = {at: learning_rate(LrSpec.model_validate({"from": 8.0, **spec}), at, TOTAL) for at in expected}
    assert found == pytest.approx(expected, rel=1e-14, abs=1e-14)


def test_the_middle_of_a_step_is_its_mean() -> None:
    spec = LrSpec.model_validate({"shape": "linear", "from": 8.0, "to": 0.0})
    single = [learning_rate(spec, at + 0.5, TOTAL) for at in range(TOTAL)]
    assert learning_rate(spec, 400, TOTAL) == pytest.approx(sum(single[300:500]) / 200)
    assert min(single) > 0
