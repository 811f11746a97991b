"""A long sequence scored window by window: every token once, with at least so many before it."""

import pytest
import torch

from genbook.evaluate.sequences import sliding_log_prob


class Tells:
    """Returns as the score of a token how many stand before it in its window, and a thousandth of itself."""

    def token_log_prob(self, x):
        self.rows = [*getattr(self, "rows", []), len(x)]
        return torch.arange(x.shape[1]).expand(x.shape) + x / 1000


def test_every_token_is_scored_once_with_what_its_window_allows():
    x = torch.arange(11)
    found = sliding_log_prob(Tells(), x, window=4, stride=2)
    #  windows at 0, 2, 4, 6 and, so that the end is reached, 7
    before = torch.tensor([0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 3])
    torch.testing.assert_close(found, (before + x / 1000).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 9, 16])
@pytest.mark.parametrize(("window", "stride"), [(4, 4), (4, 1), (4, None), (5, None), (1, None), (100, None)])
def test_the_tokens_are_told_in_their_order(length, window, stride):
    found = sliding_log_prob(Tells(), torch.arange(length), window=window, stride=stride, batch_size=2)
    before = found.round()
    torch.testing.assert_close(found - before, torch.arange(length) / 1000.0, rtol=0, atol=1e-6, check_dtype=False)
    least = min(window, length) - (stride or max(window // 2, 1))
    assert bool((before[min(window, length) :] >= min(least, window - 1)).all()) and before[0] == 0


def test_windows_go_in_batches():
    one = Tells()
    sliding_log_prob(one, torch.arange(30), window=4, stride=1, batch_size=10)
    assert one.rows == [10, 10, 7]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"x must be one sequence \(T,\) that is not empty, got \(1, 3\)"):
        sliding_log_prob(Tells(), torch.zeros(1, 3), window=2)
    with pytest.raises(ValueError, match="stride must be at most the window 4, got 5"):
        sliding_log_prob(Tells(), torch.arange(9), window=4, stride=5)
    with pytest.raises(ValueError, match="window must be"):
        sliding_log_prob(Tells(), torch.arange(9), window=0)
