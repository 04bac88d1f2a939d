import signal

import pytest

from trainer.train import stop
from trainer.train.stop import Stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Stop() as asked:
        assert asked.asked is False
        signal.raise_signal(number)
        assert asked.asked is True
        signal.raise_signal(number)  # at once: the same request, sent twice
    assert signal.getsignal(number) is before


def test_a_later_second_one_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "_SAME_S", -1.0)
    with Stop() as asked:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert asked.asked is True
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
