"""Our n-grams against NLTK's and our hidden Markov models against hmmlearn's: the same text, the same numbers."""

import itertools

import numpy as np
import pytest
import torch
from hmmlearn.hmm import CategoricalHMM
from nltk.lm import KneserNeyInterpolated, Lidstone, Vocabulary, WittenBellInterpolated

from genbook.data import prose
from genbook.models.hmm import HiddenMarkov, improved
from genbook.models.ngram import NGram
from genbook.prob.smoothing import AddK, KneserNey, WittenBell

ALPHABET = "abcd"
START = "start"  # no character of any text
TEXT = "abacabadabacabaabcdabaacabbbadcabacab"


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- n-grams against NLTK ---------------------------------------------------------------------------------------
def grams(text, context):
    """What NLTK counts: every character with every context, the start of the text marked."""
    padded = [START] * context + list(text)
    return [
        [tuple(padded[place - length : place + 1]) for length in range(context + 1)]
        for place in range(context, len(padded))
    ]


def uniform_below(theirs, escape, characters):
    """Give NLTK's model our base: frequencies mixed with the uniform law, where theirs ends with frequencies."""
    plain = theirs.estimator.unigram_score
    theirs.estimator.unigram_score = lambda c: (1 - escape) * plain(c) + escape / characters


def scores_are_nltks(ours, theirs, context):
    """Hold every chance of every context, met in the text or not, against NLTK's."""
    for before in itertools.product(ALPHABET, repeat=context):
        given = torch.tensor([[ALPHABET.index(c) for c in before]])
        expected = [theirs.score(c, before) for c in ALPHABET]
        assert np.allclose(ours.next_probabilities(given)[0, :4], expected, rtol=0, atol=1e-12), before


def vocabulary():
    return Vocabulary([*ALPHABET], unk_cutoff=1, unk_label=START)


CODES = torch.tensor([[ALPHABET.index(c) for c in TEXT]])
contexts = pytest.mark.parametrize("context", [1, 2, 3])


@contexts
def test_witten_bell_is_nltks(context):
    theirs = WittenBellInterpolated(context + 1, vocabulary=vocabulary())
    theirs.fit(grams(TEXT, context))
    uniform_below(theirs, 4 / (len(TEXT) + 4), 4)
    scores_are_nltks(NGram(4, context, WittenBell()).fit(CODES), theirs, context)


@contexts
@pytest.mark.parametrize("discount", [0.1, 0.7])
def test_kneser_ney_is_nltks(context, discount):
    theirs = KneserNeyInterpolated(context + 1, discount=discount, vocabulary=vocabulary())
    theirs.fit(grams(TEXT, context))
    continuations = theirs.estimator._continuation_counts

    def unigram(character):  # the discount is taken here too, and given to the uniform law
        seen, total = continuations(character)
        return (seen - discount + discount * 4 / 4) / total

    theirs.estimator.unigram_score = unigram
    scores_are_nltks(NGram(4, context, KneserNey(discount)).fit(CODES), theirs, context)


@contexts
def test_add_k_is_nltks(context):
    theirs = Lidstone(0.2, context + 1, vocabulary=vocabulary())
    theirs.fit(grams(TEXT, context))
    assert len(theirs.vocab) == 5  # one for what is unknown, which ours has too, here
    scores_are_nltks(NGram(5, context, AddK(0.2)).fit(CODES), theirs, context)


def test_scores_of_prose_are_nltks():
    """A thousand characters counted, three hundred scored, among them some that the text never showed."""
    text = prose.load()
    train, fresh = text[20_000:21_000], text[60_000:60_300]
    letters = sorted(set(train + fresh))
    ours = NGram(len(letters), 2, WittenBell()).fit(torch.tensor([[letters.index(c) for c in train]]))
    theirs = WittenBellInterpolated(3, vocabulary=Vocabulary(letters, unk_cutoff=1, unk_label=START))
    theirs.fit(grams(train, 2))
    uniform_below(theirs, len(set(train)) / (1000 + len(set(train))), len(letters))
    expected = [theirs.score(*gram[2:], gram[:2]) for gram in (g[2] for g in grams(fresh, 2))]
    found = ours.token_log_prob(torch.tensor([[letters.index(c) for c in fresh]])).exp()[0]
    assert np.allclose(found, expected, atol=1e-12)


# ---- hidden Markov models against hmmlearn ----------------------------------------------------------------------
def machines(states=3, vocabulary=5, seed=0):
    """One machine of ours and one of hmmlearn's with the same tables."""
    drawn = [
        torch.rand(shape, generator=generator(seed + i), dtype=torch.float64) + 0.05
        for i, shape in enumerate([(states,), (states, states), (states, vocabulary)])
    ]
    tables = [t / t.sum(-1, keepdim=True) for t in drawn]
    theirs = CategoricalHMM(states, init_params="", n_features=vocabulary)
    theirs.startprob_, theirs.transmat_, theirs.emissionprob_ = (t.numpy().copy() for t in tables)
    return HiddenMarkov(states, vocabulary).set_tables(*tables), theirs


@pytest.mark.parametrize("length", [1, 2, 300])
def test_likelihoods_posteriors_and_paths_are_hmmlearns(length):
    ours, theirs = machines()
    x = torch.randint(5, (4, length), generator=generator(9))
    for row in x:
        column = row[:, None].numpy()
        assert ours.log_prob(row[None]).item() == pytest.approx(theirs.score(column), abs=1e-6)
        assert np.allclose(ours.posterior(row[None])[0], theirs.predict_proba(column), atol=1e-9)
        value, path = theirs.decode(column)
        our_path, our_value = ours.viterbi(row[None])
        assert our_value.item() == pytest.approx(value, abs=1e-6)
        for found in (our_path[0], torch.from_numpy(path)):  # paths that only swap steps tie
            total = ours.start[found[0]] + ours.emit[found, row].sum() + ours.move[found[:-1], found[1:]].sum()
            assert total.item() == pytest.approx(value, abs=1e-6)


def test_rounds_of_em_are_hmmlearns():
    """From the same start, the same tables and likelihoods after ten rounds."""
    ours, theirs = machines(2, 4)
    x = torch.randint(4, (6, 40), generator=generator(3))
    theirs.n_iter, theirs.tol = 10, -np.inf
    theirs.startprob_prior = theirs.transmat_prior = theirs.emissionprob_prior = 1
    theirs.fit(x.reshape(-1, 1).numpy(), [40] * 6)
    tables, likelihoods = [t[None] for t in (ours.start, ours.move, ours.emit)], []
    for _ in range(10):
        value, tables = improved(x, *tables)
        likelihoods.append(value.item())
    assert len(theirs.monitor_.history) == 10
    assert np.allclose(likelihoods, list(theirs.monitor_.history), atol=1e-6)
    for mine, their in zip(tables, (theirs.startprob_, theirs.transmat_, theirs.emissionprob_), strict=True):
        assert np.allclose(mine[0].exp(), their, atol=1e-6)
