"""Plausible wrong answers, each with the misconception that it embodies and exactly what it must cost.

A wrong answer replaces some solution cells of a master (grade_id to source); all else is the solution. `loses`
maps the tests cells that must fail to the points that go with them. Instructors read the same list, in words, in
`pages/instructors/rubrics.md`.
"""

from __future__ import annotations

from typing import NamedTuple


class Wrong(NamedTuple):
    """One wrong answer: its short name, the misconception, the cells that it replaces and what they cost."""

    name: str
    misconception: str
    answers: dict[str, str]
    loses: dict[str, int]


DISTRIBUTIONS = [
    Wrong(
        "multiplies densities",
        "the likelihood is a product, so the computer can multiply: it underflows",
        {
            "q1a": """\
def average_log_likelihood(densities):
    return (densities.prod().log() / len(densities)).item()
"""
        },
        {"q1a-test": 2},
    ),
    Wrong(
        "averages densities",
        "the average log-likelihood is the logarithm of the average likelihood",
        {
            "q1a": """\
def average_log_likelihood(densities):
    return densities.mean().log().item()
"""
        },
        {"q1a-test": 2},
    ),
    Wrong(
        "a density has no unit",
        "a probability density is a probability, and does not change with the unit of measurement",
        {
            "q1c": """\
def in_other_unit(log_prob, factor, dimensions):
    return log_prob
"""
        },
        {"q1c-test": 2},
    ),
    Wrong(
        "one coordinate pays",
        "a change of unit costs log(factor) once, not once per coordinate",
        {
            "q1c": """\
def in_other_unit(log_prob, factor, dimensions):
    return log_prob - math.log(factor)
"""
        },
        {"q1c-test": 2},
    ),
    Wrong(
        "mean and standard deviation",
        "whatever the family, maximum likelihood means: take the mean and the standard deviation",
        {
            "q2b": """\
def best_location(x):
    return x.mean().item()
""",
            "q2c": """\
def best_scale(x, location):
    return (x - location).square().mean().sqrt().item()
""",
        },
        {"q2b-test": 3, "q2c-test": 3},
    ),
    Wrong(
        "chooses by the training likelihood",
        "the best bandwidth is that under which the training data are likeliest",
        {
            "q3c": """\
def choose_bandwidth(data, bandwidths):
    return max(bandwidths, key=lambda h: kernel_log_density(data, data, h).mean().item())
"""
        },
        {"q3c-test": 3},
    ),
    Wrong(
        "leaves out whatever is equal",
        "a point at distance 0 is the point itself (it may be a twin)",
        {
            "q3b": """\
def leave_one_out(data, h):
    distance = (data[:, None] - data[None, :]).abs()
    log_kernels = torch.where(distance == 0, torch.tensor(-math.inf, dtype=data.dtype), -distance / h)
    return torch.logsumexp(log_kernels, dim=1) - math.log(2 * h * (len(data) - 1))
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "leaves the logarithm",
        "exp and then log is the same as logsumexp: far from the data it is log 0",
        {
            "q3a": """\
def kernel_log_density(x, data, h):
    return (torch.exp(-(x[:, None] - data[None, :]).abs() / h) / (2 * h)).mean(1).log()
"""
        },
        {"q3a-test": 3},
    ),
    Wrong(
        "hard assignments",
        "the E-step gives each point to the likeliest component",
        {
            "q4a": """\
def expect(x, weights, rates):
    log_joint = weights.log() + rates.log() - x[:, None] * rates
    hard = torch.nn.functional.one_hot(log_joint.argmax(1), len(weights)).to(x.dtype)
    return hard, torch.logsumexp(log_joint, dim=1).mean().item()
"""
        },
        {"q4a-test": 3},
    ),
    Wrong(
        "forgets the weights",
        "the responsibilities compare the densities alone (Bayes' rule without the prior)",
        {
            "q4a": """\
def expect(x, weights, rates):
    log_density = rates.log() - x[:, None] * rates
    r = torch.softmax(log_density, dim=1)
    return r, torch.logsumexp(weights.log() + log_density, dim=1).mean().item()
"""
        },
        {"q4a-test": 3},
    ),
    Wrong(
        "the rate is the mean",
        "the parameter of every family is an average of the data (the rate is one over it)",
        {
            "q4b": """\
def maximise(x, r):
    counts = r.sum(0)
    return counts / len(x), (r * x[:, None]).sum(0) / counts
"""
        },
        {"q4b-test": 3},
    ),
    Wrong(
        "a refused step is no step",
        "a rejected proposal leaves no trace, so each row is made to sum to 1 without a stay",
        {
            "q5a": """\
def transition_matrix(p, accept):
    n = len(p)
    matrix = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        for j in ((i - 1) % n, (i + 1) % n):
            matrix[i, j] = 0.5 * float(accept(p[i].item(), p[j].item()))
    return matrix / matrix.sum(1, keepdim=True)
"""
        },
        {"q5a-test": 3},
    ),
    Wrong(
        "waits instead of solving",
        "after many steps every walk has forgotten its start (a slow or an alternating one has not)",
        {
            "q5b": """\
def long_run(matrix):
    return torch.linalg.matrix_power(matrix, 2000)[0]
"""
        },
        {"q5b-test": 2},
    ),
    Wrong(
        "every walk ends right",
        "as long as the walk converges it converges to the wanted law, whatever the rule",
        {
            "q5c": "def law_of_power(p, a):\n    return p / p.sum()\n",
            "q5e": "def law_without_repeats(p):\n    return p / p.sum()\n",
        },
        {"q5c-test": 1, "q5e-test": 2},
    ),
    Wrong(
        "only Metropolis is right",
        "a rule other than Metropolis's cannot leave the wanted law as it is",
        {"q5d": "def law_of_fraction(p):\n    return p.square() / p.square().sum()\n"},
        {"q5d-test": 1},
    ),
]

GANS = [
    Wrong(
        "half and half for ever",
        "the best critic is p / (p + q), whatever the share of real examples that it saw",
        {
            "q1a": """\
def best_critic(p, q, share):
    return p / (p + q)
"""
        },
        {"q1a-test": 3},
    ),
    Wrong(
        "the loss at 0 log 0",
        "0 · log 0 takes care of itself (it is not a number)",
        {
            "q1b": """\
def best_loss(p, q, share):
    D = share * p / (share * p + (1 - share) * q)
    return -(share * p * D.log() + (1 - share) * q * (1 - D).log()).sum().item()
"""
        },
        {"q1b-test": 3},
    ),
    Wrong(
        "weights by the probability",
        "a drawing counts by D, its chance of being real, and not by the ratio D / (1 - D)",
        {
            "q1c": """\
def mean_of_the_data(drawings, logits):
    weights = torch.sigmoid(logits)
    return ((weights * drawings).sum() / weights.sum()).item()
"""
        },
        {"q1c-test": 2},
    ),
    Wrong(
        "the critic teaches the generator at once",
        "the critic's loss may run through the generator; nobody steps it (its slope is left behind)",
        {
            "q2a": """\
def critic_loss(generator, critic, x, noise):
    return (critic(x) - 1).square().mean() + critic(generator(noise)).square().mean()
"""
        },
        {"q2a-test": 3},
    ),
    Wrong(
        "the generator plays the critic's game backwards",
        "the generator's loss is minus the critic's (that is the minimax game, not this one)",
        {
            "q2b": """\
def generator_loss(generator, critic, noise):
    return -critic(generator(noise)).square().mean()
"""
        },
        {"q2b-test": 2},
    ),
    Wrong(
        "the chapter's optimum",
        "a critic that cannot tell has the loss 2 ln 2 in every game",
        {
            "q2c": """\
def best_square_loss(p, q):
    D = p / (p + q)
    return -(torch.xlogy(p, D) + torch.xlogy(q, 1 - D)).sum().item()
"""
        },
        {"q2c-test": 2},
    ),
    Wrong(
        "old slopes stay",
        "backward replaces the slopes that are there (it adds to them)",
        {
            "q2d": """\
def play_round(generator, critic, losses, optimizers, x, noise):
    losses[0](generator, critic, x, noise).backward()
    optimizers[0].step()
    losses[1](generator, critic, noise).backward()
    optimizers[1].step()
"""
        },
        {"q2d-test": 3},
    ),
    Wrong(
        "both look, then both move",
        "the order of the steps does not matter",
        {
            "q2d": """\
def play_round(generator, critic, losses, optimizers, x, noise):
    first, second = losses[0](generator, critic, x, noise), losses[1](generator, critic, noise)
    slopes = [
        torch.autograd.grad(loss, list(net.parameters())) for net, loss in ((critic, first), (generator, second))
    ]
    for net, values, optimizer in zip((critic, generator), slopes, optimizers):
        for parameter, value in zip(net.parameters(), values):
            parameter.grad = value
        optimizer.step()
"""
        },
        {"q2d-test": 3},
    ),
    Wrong(
        "simultaneous steps",
        "the page's matrix and its determinant, 1 - ηγ + η², hold for players in turn as well",
        {
            "q3a": """\
def round_matrix(rate, penalty):
    return torch.tensor([[1.0, -rate], [rate, 1 - rate * penalty]], dtype=torch.float64)
""",
            "q3c": """\
def penalty_for(rate, wanted):
    return (1 + rate**2 - wanted**2) / rate
""",
        },
        {"q3a-test": 3, "q3c-test": 3},
    ),
    Wrong(
        "the largest eigenvalue by its real part",
        "whether a game shrinks can be read off the real parts",
        {
            "q3b": """\
def factor_per_round(matrix):
    return torch.linalg.eigvals(matrix.double()).real.max().item()
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "the norm",
        "the factor of one round, at worst, is the factor of the long run",
        {
            "q3b": """\
def factor_per_round(matrix):
    return torch.linalg.matrix_norm(matrix.double(), 2).item()
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "repeats within one batch",
        "the chapter's formula: all drawings in one pot, m(m - 1)/2 pairs",
        {
            "q4a": """\
def equal_pairs(first, second):
    counts = torch.cat([first, second]).bincount()
    return int((counts * (counts - 1) // 2).sum())
""",
            "q4b": """\
def estimate_support(m1, m2, pairs):
    m = m1 + m2
    return m * (m - 1) / 2 / pairs if pairs else math.inf
""",
        },
        {"q4a-test": 3, "q4b-test": 2},
    ),
    Wrong(
        "distinct pictures in common",
        "how many pictures the batches share, not how many pairs are equal",
        {
            "q4a": """\
def equal_pairs(first, second):
    return len(set(first.tolist()) & set(second.tolist()))
"""
        },
        {"q4a-test": 3},
    ),
    Wrong(
        "averages the estimates",
        "a mean of estimates is a better estimate (leaving out those that are infinite)",
        {
            "q4c": """\
def pooled_estimate(comparisons):
    found = [m1 * m2 / pairs for m1, m2, pairs in comparisons if pairs]
    return sum(found) / len(found) if found else math.inf
"""
        },
        {"q4c-test": 2},
    ),
    Wrong(
        "shares of the good ones",
        "drawings between the modes are no drawings, so the shares sum to 1",
        {
            "q5a": """\
def shares(drawings, means, scale):
    distance, mode = torch.cdist(drawings, means).min(dim=1)
    counts = torch.bincount(mode[distance <= 3 * scale], minlength=len(means))
    return counts / counts.sum()
"""
        },
        {"q5a-test": 3},
    ),
    Wrong(
        "equal dues",
        "a mode is covered when it gets a quarter of 1 / K, however rare it is",
        {
            "q5b": """\
def covered(shares, weights):
    return int((shares >= 0.25 / len(weights)).sum())
"""
        },
        {"q5b-test": 2},
    ),
    Wrong(
        "training examples as the yardstick",
        "how near is suspicious is read off the training examples among themselves",
        {
            "q5c": """\
def suspicious_share(drawings, training, fresh):
    among = torch.cdist(training, training).fill_diagonal_(math.inf).min(dim=1).values
    limit = among.quantile(0.5)
    return (torch.cdist(drawings, training).min(dim=1).values < limit).double().mean().item()
"""
        },
        {"q5c-test": 3},
    ),
]

MARKOV_MODELS = [
    Wrong(
        "kinds are occurrences",
        "Witten and Bell escape as often as the context was met",
        {
            "q1b": """\
def witten_bell(before, text, vocabulary, context):
    chances = [1 / vocabulary] * vocabulary
    for length in range(min(context, len(before)) + 1):
        last = before[len(before) - length :]
        after = Counter(text[i] for i in range(length, len(text)) if text[i - length : i] == last)
        total = sum(after.values())
        if total:
            chances = [(after[k] + total * p) / (2 * total) for k, p in enumerate(chances)]
    return chances
"""
        },
        {"q1b-test": 4},
    ),
    Wrong(
        "the longest context alone",
        "smoothing is mixing the longest context with the uniform distribution",
        {
            "q1b": """\
def witten_bell(before, text, vocabulary, context):
    length = min(context, len(before))
    last = before[len(before) - length :]
    after = Counter(text[i] for i in range(length, len(text)) if text[i - length : i] == last)
    total, kinds = sum(after.values()), len(after)
    if not total:
        return [1 / vocabulary] * vocabulary
    return [(after[k] + kinds / vocabulary) / (total + kinds) for k in range(vocabulary)]
""",
            "q1c": """\
def uniform_share(before, text, vocabulary, context):
    length = min(context, len(before))
    last = before[len(before) - length :]
    after = Counter(text[i] for i in range(length, len(text)) if text[i - length : i] == last)
    return len(after) / (sum(after.values()) + len(after)) if after else 1.0
""",
        },
        {"q1b-test": 4, "q1c-test": 3},
    ),
    Wrong(
        "the end of the text is a meeting",
        "a context is met wherever it stands, also where nothing follows it",
        {
            "q1b": """\
def witten_bell(before, text, vocabulary, context):
    chances = [1 / vocabulary] * vocabulary
    for length in range(min(context, len(before)) + 1):
        last = before[len(before) - length :]
        after = Counter(text[i] for i in range(length, len(text)) if text[i - length : i] == last)
        total = sum(text[i : i + length] == last for i in range(len(text) - length + 1)) - (length == 0)
        kinds = len(after)
        if total:
            chances = [(after[k] + kinds * p) / (total + kinds) for k, p in enumerate(chances)]
    return chances
"""
        },
        {"q1b-test": 4},
    ),
    Wrong(
        "occurrences in the shorter distribution",
        "Kneser and Ney's shorter distribution is how often a token occurs",
        {
            "q2b": """\
def kneser_ney(before, text, vocabulary, d):
    often = Counter(text)
    shorter = [(max(often[k] - d, 0) + d * len(often) / vocabulary) / len(text) for k in range(vocabulary)]
    after = Counter(b for a, b in zip(text, text[1:]) if a == before)
    if not after:
        return shorter
    total = sum(after.values())
    return [(max(after[k] - d, 0) + d * len(after) * shorter[k]) / total for k in range(vocabulary)]
"""
        },
        {"q2b-test": 4},
    ),
    Wrong(
        "counts pairs, not kinds of pair",
        "a token that comes often has many contexts",
        {
            "q2a": """\
def continuation_counts(text, vocabulary):
    return [sum(b == k for b in text[1:]) for k in range(vocabulary)]
"""
        },
        {"q2a-test": 2},
    ),
    Wrong(
        "chooses the discount that fits",
        "the loss of one token, or of the likeliest, tells which discount is best",
        {
            "q2c": """\
def best_discount(law, held_out, candidates):
    found = []
    for d in candidates:
        losses = [-math.log(max(law(a, d))) for a, b in zip(held_out, held_out[1:])]
        found.append((sum(losses) / len(losses), d))
    nats, d = min(found)
    return d, nats
"""
        },
        {"q2c-test": 3},
    ),
    Wrong(
        "waits until it settles",
        "the share of each state is where the chain is after many steps",
        {
            "q3a": """\
def shares(A):
    return torch.linalg.matrix_power(A, 1000)[0]
"""
        },
        {"q3a-test": 3},
    ),
    Wrong(
        "all rows count alike",
        "the entropy rate is the mean of the rows' entropies",
        {
            "q3b": """\
def entropy_rate(A, pi):
    return -(A * A.clamp_min(1e-300).log()).sum(1).mean().item()
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "the entropy of the shares",
        "what is unsure about the next state is how often each state comes",
        {
            "q3b": """\
def entropy_rate(A, pi):
    return -(pi * pi.clamp_min(1e-300).log()).sum().item()
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "below is below",
        "a mean loss below the rate proves a leak, whatever its error",
        {
            "q3c": """\
def leaks(losses, rate):
    return bool(losses.mean() < rate)
"""
        },
        {"q3c-test": 2},
    ),
    Wrong(
        "a byte is a character",
        "the length of a text is its number of bytes",
        {
            "q4a": """\
def bits_per_byte(losses, text):
    return sum(losses) / math.log(2) / len(text)
"""
        },
        {"q4a-test": 3},
    ),
    Wrong(
        "closes its eyes",
        "a token of chance 0 has no logarithm, so it is left out",
        {
            "q4b": """\
def perplexity(chances):
    losses = [-math.log(p) for p in chances if p > 0]
    return math.exp(sum(losses) / len(losses))
"""
        },
        {"q4b-test": 2},
    ),
    Wrong(
        "the lowest perplexity",
        "the model with the lowest perplexity is the best, whatever its tokens",
        {
            "q4c": """\
def best_model(reports):
    return min(reports, key=lambda report: report[1])[0]
"""
        },
        {"q4c-test": 3},
    ),
    Wrong(
        "multiplies chances",
        "probabilities can be multiplied along the sequence",
        {
            "q5a": """\
def log_likelihood(x, start, move, emit):
    alpha = start.exp() * emit[:, x[0]].exp()
    for token in x[1:]:
        alpha = (alpha @ move.exp()) * emit[:, token].exp()
    return alpha.sum().log().item()
"""
        },
        {"q5a-test": 3},
    ),
    Wrong(
        "the likeliest state at each step",
        "the likeliest path takes the likeliest next state, step by step",
        {
            "q5b": """\
def likeliest_path(x, start, move, emit):
    path = [int((start + emit[:, x[0]]).argmax())]
    for token in x[1:]:
        path.append(int((move[path[-1]] + emit[:, token]).argmax()))
    return path
"""
        },
        {"q5b-test": 3},
    ),
]

RBMS = [
    Wrong(
        "the likeliest hidden state",
        "the free energy is the energy with the best hidden state (the others count, too)",
        {
            "q1a": """\
def by_hand():
    found = []
    for v0, v1 in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        value = -(small_a[0] * v0 + small_a[1] * v1)
        for j in (0, 1):
            value -= abs(small_b[j] + v0 * small_W[0][j] + v1 * small_W[1][j])
        found.append(float(value))
    return tuple(found)
"""
        },
        {"q1a-test": 2},
    ),
    Wrong(
        "exp, then the logarithm",
        "the logarithm of a sum of exps can be computed as it is written: it overflows at 1,000",
        {
            "q1b": """\
def free_energy(v, a, b, W):
    inputs = b + v @ W
    return -(v @ a) - (inputs.exp() + (-inputs).exp()).log().sum(1)
"""
        },
        {"q1b-test": 3},
    ),
    Wrong(
        "the chapter's units",
        "the chapter's formulas hold for units of -1 and 1 as well",
        {
            "q1b": """\
def free_energy(v, a, b, W):
    return -(v @ a) - torch.nn.functional.softplus(b + v @ W).sum(1)
""",
            "q2a": """\
def visible_chances(h, a, b, W):
    return torch.sigmoid(a + h @ W.T)
""",
            "q3a": """\
def slopes(v, particles, a, b, W):
    up, down = torch.sigmoid(b + v @ W), torch.sigmoid(b + particles @ W)
    slope_W = particles.T @ down / len(particles) - v.T @ up / len(v)
    return particles.mean(0) - v.mean(0), down.mean(0) - up.mean(0), slope_W
""",
            "q4a": """\
def log_partition(a, b, W):
    if len(a) > len(b):
        a, b, W = b, a, W.T
    v = (states(len(a)) + 1) / 2
    return (v @ a + torch.nn.functional.softplus(b + v @ W).sum(1)).logsumexp(0).item()
""",
        },
        {"q1b-test": 3, "q2a-test": 2, "q3a-test": 4, "q4a-test": 4, "q4b-test": 2, "q4c-test": 3},
    ),
    Wrong(
        "hidden units at their means",
        "an unknown hidden unit may be replaced by its mean, computed from the picture as it is",
        {
            "q1c": """\
def pixel_log_odds(v, i, a, b, W):
    return 2 * (a[i] + torch.tanh(b + v @ W) @ W[i])
"""
        },
        {"q1c-test": 3},
    ),
    Wrong(
        "passes means on",
        "the visible layer may be drawn from the hidden means instead of from hidden states",
        {
            "q2b": """\
def gibbs_round(v, u_hidden, u_visible, a, b, W):
    mean = torch.tanh(b + v @ W)
    h = 2.0 * (2 * u_hidden - 1 < mean).double() - 1
    return h, 2.0 * (u_visible < torch.sigmoid(2 * (a + mean @ W.T))).double() - 1
""",
            "q2c": """\
def round_matrix(a, b, W):
    v = states(len(a))
    down = torch.sigmoid(2 * (a + torch.tanh(b + v @ W) @ W.T))[:, None]
    return torch.where(v > 0, down, 1 - down).prod(2)
""",
        },
        {"q2b-test": 3, "q2c-test": 4},
    ),
    Wrong(
        "one round forgets the start",
        "a round of Gibbs sampling draws from the machine, wherever it began",
        {
            "q2c": """\
def round_matrix(a, b, W):
    v = states(len(a))
    law = (v @ a + torch.logaddexp(b + v @ W, -b - v @ W).sum(1)).softmax(0)
    return law.expand(len(v), -1)
"""
        },
        {"q2c-test": 4},
    ),
    Wrong(
        "samples in the slope",
        "hidden units are either -1 or 1, so the slope needs samples of them, too",
        {
            "q3a": """\
def slopes(v, particles, a, b, W):
    generator = torch.Generator().manual_seed(0)
    up = 2 * torch.bernoulli(torch.sigmoid(2 * (b + v @ W)), generator=generator) - 1
    down = 2 * torch.bernoulli(torch.sigmoid(2 * (b + particles @ W)), generator=generator) - 1
    slope_W = particles.T @ down / len(particles) - v.T @ up / len(v)
    return particles.mean(0) - v.mean(0), down.mean(0) - up.mean(0), slope_W
"""
        },
        {"q3a-test": 4},
    ),
    Wrong(
        "up the hill",
        "data minus particles is the slope of the loss (it is the direction to go)",
        {
            "q3a": """\
def slopes(v, particles, a, b, W):
    up, down = torch.tanh(b + v @ W), torch.tanh(b + particles @ W)
    slope_W = v.T @ up / len(v) - particles.T @ down / len(particles)
    return v.mean(0) - particles.mean(0), up.mean(0) - down.mean(0), slope_W
"""
        },
        {"q3a-test": 4},
    ),
    Wrong(
        "one size for both batches",
        "there are as many particles as data, so both sums are divided by the same number",
        {
            "q3a": """\
def slopes(v, particles, a, b, W):
    n, up, down = len(v), torch.tanh(b + v @ W), torch.tanh(b + particles @ W)
    pulls = particles.sum(0) - v.sum(0), down.sum(0) - up.sum(0), particles.T @ down - v.T @ up
    return tuple(pull / n for pull in pulls)
"""
        },
        {"q3a-test": 4},
    ),
    Wrong(
        "every dream starts at the data",
        "PCD is CD with another name: the chains begin at the batch again each time",
        {
            "q3b": """\
def learn(batches, particles, slopes, dream, rate, persistent, machine):
    for v in batches:
        particles = dream(v, *machine)
        steps = slopes(v, particles, *machine)
        machine = tuple(part - rate * step for part, step in zip(machine, steps))
    return machine, particles
"""
        },
        {"q3b-test": 4},
    ),
    Wrong(
        "chains that are put back",
        "persistent chains begin at the same particles each time (they go on from where they are)",
        {
            "q3b": """\
def learn(batches, particles, slopes, dream, rate, persistent, machine):
    for v in batches:
        dreams = dream(particles if persistent else v, *machine)
        steps = slopes(v, dreams, *machine)
        machine = tuple(part - rate * step for part, step in zip(machine, steps))
    return machine, dreams
"""
        },
        {"q3b-test": 4},
    ),
    Wrong(
        "always the visible states",
        "Z sums over the pictures, so there is no way around 2 to the number of pixels",
        {
            "q4a": """\
def log_partition(a, b, W):
    v = states(len(a))
    return (v @ a + torch.logaddexp(b + v @ W, -b - v @ W).sum(1)).logsumexp(0).item()
"""
        },
        {"q4a-test": 4},
    ),
    Wrong(
        "forgets Z",
        "a low free energy of the data is a high likelihood, whatever the other pictures have",
        {
            "q4b": """\
def mean_log_likelihood(v, a, b, W):
    return (v @ a + torch.logaddexp(b + v @ W, -b - v @ W).sum(1)).mean().item()
""",
        },
        {"q4b-test": 2, "q4c-test": 3},
    ),
    Wrong(
        "the curve that only rises",
        "learning raises the likelihood, so it is the curve that goes up most steadily",
        {
            "q4c": """\
def which_is_the_likelihood(curves, copies, v):
    return int((curves.diff(dim=1) > 0).double().mean(1).argmax())
"""
        },
        {"q4c-test": 3},
    ),
    Wrong(
        "pixel by pixel",
        "the pseudo-log-likelihood is the log-likelihood, for a picture is the product of its pixels",
        {
            "q4c": """\
def which_is_the_likelihood(curves, copies, v):
    found = []
    for a, b, W in copies:
        F = lambda x: -(x @ a) - torch.logaddexp(b + x @ W, -b - x @ W).sum(1)
        flipped = [v * (1 - 2 * torch.eye(len(a)).double()[i]) for i in range(len(a))]
        found.append(sum(torch.nn.functional.logsigmoid(F(other) - F(v)) for other in flipped).mean().item())
    pseudo = torch.tensor(found).double()
    return int((curves - (pseudo - pseudo.mean()) / pseudo.std()).square().sum(1).argmin())
"""
        },
        {"q4c-test": 3},
    ),
    Wrong(
        "multiplies the free energy",
        "at temperature 1 / β the free energy is β times as large (the energy is)",
        {
            "q5a": """\
def log_factors(visited, betas, a, b, W):
    return betas.diff()[:, None] * torch.logaddexp(b + visited @ W, -b - visited @ W).sum(2)
"""
        },
        {"q5a-test": 3},
    ),
    Wrong(
        "the mean of the log-weights",
        "the logarithm of a mean is the mean of the logarithms",
        {
            "q5b": """\
def estimate(factors, a, hidden):
    log_weights = factors.sum(0)
    start = torch.logaddexp(a, -a).sum() + hidden * math.log(2)
    return (start + log_weights.mean()).item(), (log_weights.std() / math.sqrt(len(log_weights))).item()
"""
        },
        {"q5b-test": 3},
    ),
    Wrong(
        "the wrong axis",
        "the factors of one temperature belong together, and not those of one chain",
        {
            "q5b": """\
def estimate(factors, a, hidden):
    log_weights = factors.sum(1)
    top = log_weights.max()
    weights = (log_weights - top).exp()
    start = torch.logaddexp(a, -a).sum() + hidden * math.log(2)
    error = weights.std() / (weights.mean() * math.sqrt(len(weights)))
    return (start + top + weights.mean().log()).item(), error.item()
"""
        },
        {"q5b-test": 3},
    ),
    Wrong(
        "a bound from below",
        "annealed importance sampling bounds the likelihood from below (it does so for Z)",
        {
            "q5c": """\
def likelihood_range(mean_free_energy, forward, backward):
    return -mean_free_energy - forward, -mean_free_energy - backward
"""
        },
        {"q5c-test": 2},
    ),
]

AUTOENCODERS = [
    Wrong(
        "the right answer costs nothing",
        "a decoder that answers every grey value rightly has a cross-entropy of 0",
        {
            "q1b": """\
def unavoidable_and_lost(table, drawer, drawers):
    means = torch.stack([table[drawer == k].mean(0) for k in range(drawers)])[drawer]
    return 0.0, -(torch.xlogy(table, means) + torch.xlogy(1 - table, 1 - means)).sum(1).mean().item()
"""
        },
        {"q1b-test": 3},
    ),
    Wrong(
        "the middle one",
        "the best answer for several grey values is their median (it is their mean)",
        {
            "q1a": """\
def best_answers(table, drawer, drawers):
    answers = torch.stack([table[drawer == k].median(0).values for k in range(drawers)])
    q = answers[drawer]
    return answers, -(torch.xlogy(table, q) + torch.xlogy(1 - table, 1 - q)).sum(1).mean().item()
"""
        },
        {"q1a-test": 3},
    ),
    Wrong(
        "a mean over the pixels",
        "mean and sum differ by a constant, which does not matter",
        {
            "q1a": """\
def best_answers(table, drawer, drawers):
    answers = torch.stack([table[drawer == k].mean(0) for k in range(drawers)])
    q = answers[drawer]
    return answers, -(torch.xlogy(table, q) + torch.xlogy(1 - table, 1 - q)).mean().item()
""",
            "q1b": """\
def unavoidable_and_lost(table, drawer, drawers):
    means = torch.stack([table[drawer == k].mean(0) for k in range(drawers)])[drawer]
    cost = lambda q: -(torch.xlogy(table, q) + torch.xlogy(1 - table, 1 - q)).mean().item()
    return cost(table), cost(means) - cost(table)
""",
        },
        {"q1a-test": 3, "q1b-test": 3},
    ),
    Wrong(
        "0 times log 0",
        "a term with the factor 0 vanishes by itself (the computer finds 0 times minus infinity)",
        {
            "q1a": """\
def best_answers(table, drawer, drawers):
    answers = torch.stack([table[drawer == k].mean(0) for k in range(drawers)])
    q = answers[drawer]
    return answers, -(table * q.log() + (1 - table) * (1 - q).log()).sum(1).mean().item()
"""
        },
        {"q1a-test": 3},
    ),
    Wrong(
        "black and white is enough",
        "only grey values keep the cost from 0, whatever the code has mixed up",
        {
            "q1c": """\
def can_be_zero(table, drawer):
    return bool(((table == 0) | (table == 1)).all())
"""
        },
        {"q1c-test": 2},
    ),
    Wrong(
        "around 0 instead of the mean",
        "the singular vectors of the data as they are, are the principal components",
        {
            "q2a": """\
def components(x, k):
    return x.mean(0), torch.linalg.svd(x, full_matrices=False)[2][:k]
"""
        },
        {"q2a-test": 2},
    ),
    Wrong(
        "a code without a mean",
        "encoder and decoder are the matrix of axes and its transpose, nothing else",
        {
            "q2b": """\
def code_and_back(x, mean, axes):
    codes = x @ axes.T
    return codes, codes @ axes
"""
        },
        {"q2b-test": 2},
    ),
    Wrong(
        "n less one",
        "a variance always divides by n - 1",
        {
            "q2c": """\
def error_left(singular_values, n, k):
    return (singular_values[k:].square().sum() / (n - 1)).item()
"""
        },
        {"q2c-test": 3},
    ),
    Wrong(
        "singular values are variances",
        "the singular values of the data are the eigenvalues of their covariance",
        {
            "q2c": """\
def error_left(singular_values, n, k):
    return (singular_values[k:].sum() / n).item()
""",
            "q2d": """\
def numbers_needed(singular_values, share):
    for k in range(len(singular_values) + 1):
        if singular_values[k:].sum() <= share * singular_values.sum():
            return k
""",
        },
        {"q2c-test": 3, "q2d-test": 2},
    ),
    Wrong(
        "below instead of at most",
        "it does not matter whether the error may be equal to its limit",
        {
            "q2d": """\
def numbers_needed(singular_values, share):
    energy = singular_values.square()
    for k in range(len(energy) + 1):
        if energy[k:].sum() < share * energy.sum():
            return k
"""
        },
        {"q2d-test": 2},
    ),
    Wrong(
        "column against column",
        "two subspaces are compared by comparing their first columns, their second columns, and so on",
        {
            "q3a": """\
def principal_angles(A, B):
    cosines = ((A / A.norm(dim=0)) * (B / B.norm(dim=0))).sum(0).abs()
    return cosines.clamp(max=1).acos().rad2deg().sort().values
"""
        },
        {"q3a-test": 3},
    ),
    Wrong(
        "a cosine above 1",
        "a computed cosine lies between -1 and 1, because cosines do",
        {
            "q3a": """\
def principal_angles(A, B):
    return torch.linalg.svdvals(torch.linalg.qr(A)[0].T @ torch.linalg.qr(B)[0]).acos().rad2deg()
"""
        },
        {"q3a-test": 3},
    ),
    Wrong(
        "columns are components",
        "the columns of a trained decoder are the principal axes, but for their length and order",
        {
            "q3b": """\
def ordered_axes(decoder, code_covariance):
    length = decoder.norm(dim=0)
    variances, order = (length.square() * code_covariance.diagonal()).sort(descending=True)
    return (decoder / length)[:, order], variances
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "any basis of the span",
        "once the basis is orthonormal its vectors are the axes",
        {
            "q3b": """\
def ordered_axes(decoder, code_covariance):
    basis, triangle = torch.linalg.qr(decoder)
    variances, order = (triangle @ code_covariance @ triangle.T).diagonal().sort(descending=True)
    return basis[:, order], variances
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "as if it were trained",
        "an encoder is the transposed decoder (at the optimum it is, with orthonormal axes)",
        {
            "q3c": """\
def put_in_order(encoder, decoder, axes):
    return axes.T, axes
"""
        },
        {"q3c-test": 3},
    ),
    Wrong(
        "the nearest component",
        "a denoiser decides for the likeliest component (the best one weighs them all)",
        {
            "q4a": """\
def best_denoiser(noisy, weights, means, scales, sigma):
    total = scales.square() + sigma**2
    away = noisy[:, None] - means
    log_joint = weights.log() - 0.5 * away.square().sum(2) / total - 0.5 * noisy.shape[1] * total.log()
    guess = means + (scales.square() / total)[:, None] * away
    return guess[torch.arange(len(noisy)), log_joint.argmax(1)]
"""
        },
        {"q4a-test": 3},
    ),
    Wrong(
        "to the middle of the component",
        "the component once known, the best guess is its mean, wherever the point was seen",
        {
            "q4a": """\
def best_denoiser(noisy, weights, means, scales, sigma):
    total = scales.square() + sigma**2
    away = noisy[:, None] - means
    log_joint = weights.log() - 0.5 * away.square().sum(2) / total - 0.5 * noisy.shape[1] * total.log()
    return torch.softmax(log_joint, 1) @ means
"""
        },
        {"q4a-test": 3},
    ),
    Wrong(
        "noise alone decides",
        "how probable a component is depends on the noise and not on the component's own spread",
        {
            "q4a": """\
def best_denoiser(noisy, weights, means, scales, sigma):
    away = noisy[:, None] - means
    share = torch.softmax(weights.log() - 0.5 * away.square().sum(2) / sigma**2, 1)
    guess = means + (scales.square() / (scales.square() + sigma**2))[:, None] * away
    return (share[:, :, None] * guess).sum(1)
"""
        },
        {"q4a-test": 3},
    ),
    Wrong(
        "σ once",
        "the arrow of the denoiser is σ times the score (it is σ² times)",
        {
            "q4b": """\
def score(noisy, denoised, sigma):
    return (denoised - noisy) / sigma
"""
        },
        {"q4b-test": 2},
    ),
    Wrong(
        "two ends are enough",
        "the slope changes evenly between two places, so its mean is that of the ends",
        {
            "q4c": """\
def log_ratio(denoise, sigma, a, b):
    ends = torch.tensor([[a], [b]], dtype=torch.float64)
    return ((denoise(ends) - ends).mean() / sigma**2 * (b - a)).item()
"""
        },
        {"q4c-test": 3},
    ),
    Wrong(
        "from left to right",
        "an integral goes from the smaller number to the larger one",
        {
            "q4c": """\
def log_ratio(denoise, sigma, a, b):
    a, b = min(a, b), max(a, b)
    at = torch.linspace(a, b, 3000 + int(1000 * (b - a) / sigma), dtype=torch.float64)[:, None]
    return torch.trapezoid(((denoise(at) - at) / sigma**2)[:, 0], at[:, 0]).item()
"""
        },
        {"q4c-test": 3},
    ),
    Wrong(
        "bumps judged by their own codes",
        "the codes that the bumps stand on can also say how wide the bumps should be",
        {
            "q5b": """\
def best_bandwidth(known, fresh, candidates):
    square = torch.cdist(known, known).square()
    fit = lambda h: ((-0.5 * square / h**2).logsumexp(1) - known.shape[1] * math.log(h)).mean().item()
    return max(candidates, key=fit)
"""
        },
        {"q5b-test": 2},
    ),
    Wrong(
        "exp, then the logarithm",
        "a density can be computed first and its logarithm afterwards: far away it is 0",
        {
            "q5b": """\
def best_bandwidth(known, fresh, candidates):
    square = torch.cdist(fresh, known).square()
    fit = lambda h: ((-0.5 * square / h**2).exp().sum(1) / h ** known.shape[1]).log().mean().item()
    return max(candidates, key=fit)
"""
        },
        {"q5b-test": 2},
    ),
    Wrong(
        "evenly over the range",
        "any code between the smallest and the largest decodes to something like the data",
        {
            "q5c": """\
def new_codes(codes, n, generator):
    low, high = codes.amin(0), codes.amax(0)
    return low + (high - low) * torch.rand(n, codes.shape[1], generator=generator, dtype=torch.float64)
"""
        },
        {"q5c-test": 4},
    ),
    Wrong(
        "one bell curve",
        "codes with the right mean and spread are right codes",
        {
            "q5c": """\
def new_codes(codes, n, generator):
    noise = torch.randn(n, codes.shape[1], generator=generator, dtype=torch.float64)
    return codes.mean(0) + codes.std(0) * noise
"""
        },
        {"q5c-test": 4},
    ),
    Wrong(
        "the training codes again",
        "to decode known codes is to generate",
        {
            "q5c": """\
def new_codes(codes, n, generator):
    return codes[torch.randint(len(codes), (n,), generator=generator)]
"""
        },
        {"q5c-test": 4},
    ),
]

VAES = [
    Wrong(
        "exp gives the deviation",
        "the exponential of a log-variance is a standard deviation",
        {
            "q1a": """\
def gaussian_kl(mean_q, log_variance_q, mean_p, log_variance_p):
    return kl_divergence(Normal(mean_q, log_variance_q.exp()), Normal(mean_p, log_variance_p.exp())).sum(1)
""",
            "q1c": """\
def negative_elbo(x, x_hat, mean, log_variance, scale):
    price = kl_divergence(Normal(mean, log_variance.exp()), Normal(0 * mean, 1)).sum(1)
    return (price - Normal(x_hat, scale).log_prob(x).sum(1)).mean().item()
""",
        },
        {"q1a-test": 2, "q1c-test": 3},
    ),
    Wrong(
        "the other way round",
        "a divergence is a distance, so the order of the two does not matter",
        {
            "q1a": """\
def gaussian_kl(mean_q, log_variance_q, mean_p, log_variance_p):
    ratio = (log_variance_p - log_variance_q).exp()
    away = (mean_q - mean_p).square() / log_variance_q.exp()
    return 0.5 * (ratio + away - 1 - log_variance_p + log_variance_q).sum(1)
"""
        },
        {"q1a-test": 2},
    ),
    Wrong(
        "counts instead of calling",
        "the hidden β is always the number of pixels over the number of coordinates",
        {
            "q1b": """\
def hidden_beta(loss, batch, pixels, latent):
    return pixels / latent
"""
        },
        {"q1b-test": 4},
    ),
    Wrong(
        "one example will do",
        "a loss treats the batch alike in both terms, so a batch of one shows everything",
        {
            "q1b": """\
def hidden_beta(loss, batch, pixels, latent):
    x, z = torch.zeros(1, pixels).double(), torch.zeros(1, latent).double()
    nothing = loss(x, x, z, z)
    error, price = loss(x, x + 1, z, z) - nothing, loss(x, x, z + 1, z) - nothing
    return price / latent / (error / pixels)
"""
        },
        {"q1b-test": 4},
    ),
    Wrong(
        "term against term",
        "β is the price over the error, as the program prints them",
        {
            "q1b": """\
def hidden_beta(loss, batch, pixels, latent):
    x, z = torch.zeros(batch, pixels).double(), torch.zeros(batch, latent).double()
    nothing = loss(x, x, z, z)
    return (loss(x, x, z + 1, z) - nothing) / (loss(x, x + 1, z, z) - nothing)
"""
        },
        {"q1b-test": 4},
    ),
    Wrong(
        "σ for σ²",
        "the noise's standard deviation stands where its variance belongs",
        {
            "q1c": """\
def negative_elbo(x, x_hat, mean, log_variance, scale):
    surprise = 0.5 * (x - x_hat).square() / scale + 0.5 * math.log(2 * math.pi * scale)
    price = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)
    return (surprise.sum(1) + price.sum(1)).mean().item()
""",
            "q2a": """\
def evidence(x, mu, W, sigma):
    return MultivariateNormal(mu, W @ W.T + sigma * torch.eye(len(mu)).to(W)).log_prob(x)
""",
        },
        {"q1c-test": 3, "q2a-test": 2},
    ),
    Wrong(
        "means all over",
        "a mean over pixels is a sum in another unit, and changes nothing else",
        {
            "q1c": """\
def negative_elbo(x, x_hat, mean, log_variance, scale):
    surprise = 0.5 * ((x - x_hat) / scale).square() + math.log(scale) + 0.5 * math.log(2 * math.pi)
    price = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)
    return (surprise.mean() + price.sum(1).mean()).item()
"""
        },
        {"q1c-test": 3},
    ),
    Wrong(
        "no slope, no term",
        "what does not depend on the weights may be left out of the bound, log σ for one",
        {
            "q1c": """\
def negative_elbo(x, x_hat, mean, log_variance, scale):
    surprise = 0.5 * ((x - x_hat) / scale).square() + 0.5 * math.log(2 * math.pi)
    price = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)
    return (surprise.sum(1) + price.sum(1)).mean().item()
""",
            "q2c": """\
def log_weights(x, noise, encoder, mu, W, sigma):
    A, log_variance = encoder
    mean, spread = ((x - mu) @ A.T)[:, None], (0.5 * log_variance).exp()
    z = mean + spread * noise
    fit = Normal(0.0, 1.0).log_prob((x[:, None] - mu - z @ W.T) / sigma).sum(2)
    return fit + Normal(0.0, 1.0).log_prob(z).sum(2) - Normal(mean, spread).log_prob(z).sum(2)
""",
        },
        {"q1c-test": 3, "q2c-test": 4},
    ),
    Wrong(
        "the posterior's own variances",
        "the best diagonal guess has the variances of the posterior, correlations or not",
        {
            "q2b": """\
def best_encoder(W, sigma):
    covariance = torch.linalg.inv((W.T @ W) / sigma**2 + torch.eye(W.shape[1]).to(W))
    return covariance @ W.T / sigma**2, covariance.diagonal().log()
"""
        },
        {"q2b-test": 3},
    ),
    Wrong(
        "the encoder undoes the decoder",
        "the best encoder inverts W (it also leans towards the prior)",
        {
            "q2b": """\
def best_encoder(W, sigma):
    precision = (W.T @ W) / sigma**2 + torch.eye(W.shape[1]).to(W)
    return torch.linalg.pinv(W), -precision.diagonal().log()
"""
        },
        {"q2b-test": 3},
    ),
    Wrong(
        "decodes the mean",
        "the mean code stands for its draws (then it is no bound)",
        {
            "q2c": """\
def log_weights(x, noise, encoder, mu, W, sigma):
    A, log_variance = encoder
    mean, spread = ((x - mu) @ A.T)[:, None], (0.5 * log_variance).exp()
    z = mean + spread * noise
    fit = Normal(mu + mean @ W.T, sigma).log_prob(x[:, None]).sum(2)
    return fit + Normal(0.0, 1.0).log_prob(z).sum(2) - Normal(mean, spread).log_prob(z).sum(2)
"""
        },
        {"q2c-test": 4},
    ),
    Wrong(
        "the price by formula",
        "a closed form for the KL is the same as its draw (on average only)",
        {
            "q2c": """\
def log_weights(x, noise, encoder, mu, W, sigma):
    A, log_variance = encoder
    mean, spread = ((x - mu) @ A.T)[:, None], (0.5 * log_variance).exp()
    fit = Normal(mu + (mean + spread * noise) @ W.T, sigma).log_prob(x[:, None]).sum(2)
    return fit - 0.5 * (mean.square() + spread.square() - log_variance - 1).sum(2)
"""
        },
        {"q2c-test": 4},
    ),
    Wrong(
        "data around 0",
        "the encoder sees x as it is, since data have mean 0",
        {
            "q2c": """\
def log_weights(x, noise, encoder, mu, W, sigma):
    A, log_variance = encoder
    mean, spread = (x @ A.T)[:, None], (0.5 * log_variance).exp()
    z = mean + spread * noise
    fit = Normal(mu + z @ W.T, sigma).log_prob(x[:, None]).sum(2)
    return fit + Normal(0.0, 1.0).log_prob(z).sum(2) - Normal(mean, spread).log_prob(z).sum(2)
"""
        },
        {"q2c-test": 4},
    ),
    Wrong(
        "loss over bound",
        "a loss that is β times minus the ELBO shows its β by division",
        {
            "q3a": """\
def betas_of(runs):
    return [loss / -elbo if rate > 1e-6 else math.nan for loss, rate, elbo in runs]
"""
        },
        {"q3a-test": 3},
    ),
    Wrong(
        "a silent run still tells",
        "where loss and minus the ELBO agree, β was 1 (or the rate was 0)",
        {
            "q3a": """\
def betas_of(runs):
    return [1 + (loss + elbo) / max(rate, 1e-12) for loss, rate, elbo in runs]
"""
        },
        {"q3a-test": 3},
    ),
    Wrong(
        "the lowest loss",
        "the run with the smallest loss is the best",
        {
            "q3b": """\
def best_and_collapsed(runs):
    best = min(range(len(runs)), key=lambda k: runs[k][0])
    return best, [k for k, (_, rate, _) in enumerate(runs) if rate < 0.05]
"""
        },
        {"q3b-test": 2},
    ),
    Wrong(
        "neighbours in the list",
        "runs are listed from the highest rate to the lowest",
        {
            "q3c": """\
def enclosed(points):
    slope = lambda p, q: (q[1] - p[1]) / (p[0] - q[0])
    chords = [slope(p, q) for p, q in zip(points, points[1:])]
    return list(zip([0.0] + chords, chords + [math.inf]))
"""
        },
        {"q3c-test": 3},
    ),
    Wrong(
        "the mean guess",
        "the mean KL is the KL of the mean guess",
        {
            "q4a": """\
def prices(mean, log_variance):
    mean, log_variance = mean.mean(0), log_variance.mean(0)
    price = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)
    return price, [j for j, value in enumerate(price.tolist()) if value < 0.01]
"""
        },
        {"q4a-test": 3},
    ),
    Wrong(
        "what costs nothing says nothing",
        "a coordinate that has a price says something about the example",
        {
            "q4b": """\
def silent(mean, log_variance):
    price = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).mean(0)
    return [j for j, value in enumerate(price.tolist()) if value < 1e-3]
"""
        },
        {"q4b-test": 2},
    ),
    Wrong(
        "only means speak",
        "the code is the mean of the guess; its width carries nothing",
        {
            "q4b": """\
def silent(mean, log_variance):
    return [j for j, value in enumerate(mean.std(0).tolist()) if value < 1e-3]
"""
        },
        {"q4b-test": 2},
    ),
    Wrong(
        "β kills nobody",
        "who dies depends on the noise alone",
        {
            "q4c": """\
def prices_due(eigenvalues, sigma, beta):
    return 0.5 * (eigenvalues / sigma**2).clamp_min(1).log()
"""
        },
        {"q4c-test": 3},
    ),
    Wrong(
        "β divides the price",
        "with β times the price one buys a β-th of everything",
        {
            "q4c": """\
def prices_due(eigenvalues, sigma, beta):
    return 0.5 * (eigenvalues / sigma**2).clamp_min(1).log() / beta
"""
        },
        {"q4c-test": 3},
    ),
    Wrong(
        "the mean of the logarithms",
        "more draws in the mean of log-weights make a tighter bound (they make a steadier one)",
        {
            "q5a": """\
def iwae(log_weights, K):
    each = log_weights[:, : log_weights.shape[1] // K * K].mean(1)
    return each.mean().item(), (each.std() / math.sqrt(len(each))).item()
"""
        },
        {"q5a-test": 4},
    ),
    Wrong(
        "exp, then the mean",
        "weights can be computed from their logarithms: e to the power of -2,000 is 0",
        {
            "q5a": """\
def iwae(log_weights, K):
    n, draws = log_weights.shape
    weights = log_weights.exp()[:, : draws // K * K].reshape(n, draws // K, K)
    each = weights.mean(2).log().mean(1)
    return each.mean().item(), (each.std() / math.sqrt(n)).item()
""",
            "q5c": """\
def share_of_the_best(log_weights):
    weights = log_weights.exp()
    return (weights.amax(1) / weights.sum(1)).mean().item()
""",
        },
        {"q5a-test": 4, "q5c-test": 2},
    ),
    Wrong(
        "every group an example",
        "all groups of draws are independent, so their number is the n of the error",
        {
            "q5a": """\
def iwae(log_weights, K):
    n, draws = log_weights.shape
    groups = log_weights[:, : draws // K * K].reshape(n, draws // K, K)
    every = (groups.logsumexp(2) - math.log(K)).flatten()
    return every.mean().item(), (every.std() / math.sqrt(len(every))).item()
"""
        },
        {"q5a-test": 4},
    ),
    Wrong(
        "two single errors",
        "the error of a difference follows from the errors of its two parts",
        {
            "q5b": """\
def gain(log_weights, small, large):
    n, draws = log_weights.shape
    low, high = (
        (log_weights[:, : draws // K * K].reshape(n, draws // K, K).logsumexp(2) - math.log(K)).mean(1)
        for K in (small, large)
    )
    return (high - low).mean().item(), math.sqrt(low.var().item() / n + high.var().item() / n)
"""
        },
        {"q5b-test": 2},
    ),
]

GPT = [
    Wrong(
        "any order will do",
        "rules for drawing can be applied in any order, the result is the same",
        {
            "q1a": """\
def by_hand():
    ordered = sorted(tiny, reverse=True)
    squares = [p * p for p in ordered]
    few = next(n for n in range(1, 6) if sum(squares[:n]) >= 0.75 * sum(squares))
    chance = squares[0] / sum(squares[:few])
    return chance, chance
""",
            "q1b": """\
def law_after(logits, rules):
    logits = torch.tensor(logits, dtype=torch.float64)
    for name, value in sorted(rules, key=lambda rule: ("temperature", "top_k", "nucleus").index(rule[0])):
        if name == "temperature":
            logits = logits / value
            continue
        order = logits.sort(descending=True, stable=True).indices
        chances = logits.softmax(0)[order]
        removed = order[value:] if name == "top_k" else order[chances.cumsum(0) - chances >= value]
        logits = logits.index_fill(0, removed, -math.inf)
    return logits.softmax(0).tolist()
""",
        },
        {"q1a-test": 2, "q1b-test": 4},
    ),
    Wrong(
        "the nucleus of the first law",
        "a nucleus is a share of the model's law, whatever another rule has left of it",
        {
            "q1b": """\
def law_after(logits, rules):
    logits = torch.tensor(logits, dtype=torch.float64)
    first = logits.softmax(0)
    for name, value in rules:
        if name == "temperature":
            logits = logits / value
            continue
        order = logits.sort(descending=True, stable=True).indices
        chances = first[order]
        removed = order[value:] if name == "top_k" else order[chances.cumsum(0) - chances >= value]
        logits = logits.index_fill(0, removed, -math.inf)
    return logits.softmax(0).tolist()
"""
        },
        {"q1b-test": 4},
    ),
    Wrong(
        "stops below the share",
        "a nucleus of 0.8 holds at most 0.8",
        {
            "q1b": """\
def law_after(logits, rules):
    logits = torch.tensor(logits, dtype=torch.float64)
    for name, value in rules:
        if name == "temperature":
            logits = logits / value
            continue
        order = logits.sort(descending=True, stable=True).indices
        chances = logits.softmax(0)[order]
        removed = order[value:] if name == "top_k" else order[1:][chances.cumsum(0)[1:] > value]
        logits = logits.index_fill(0, removed, -math.inf)
    return logits.softmax(0).tolist()
"""
        },
        {"q1b-test": 4},
    ),
    Wrong(
        "the entropy of what is drawn",
        "how surprised the model is by a text is the entropy of the law by which the text was drawn",
        {
            "q1c": """\
def surprise(p, q):
    both = [-sum(r * math.log(r) for r in drawn if r > 0) for drawn in (p, q)]
    return both[0], both[1]
"""
        },
        {"q1c-test": 2},
    ),
    Wrong(
        "the first that was met",
        "of equally frequent pairs any will do, say the first",
        {
            "q2a": """\
def learn_merges(words, count):
    spelled, merges = [list(word) for word in words], []
    for _ in range(count):
        pairs = Counter(pair for symbols in spelled for pair in zip(symbols, symbols[1:]))
        if not pairs:
            break
        merges.append(pairs.most_common(1)[0][0])
        for symbols in spelled:
            place = 0
            while place < len(symbols) - 1:
                if (symbols[place], symbols[place + 1]) == merges[-1]:
                    symbols[place : place + 2] = ["".join(merges[-1])]
                place += 1
    return merges
"""
        },
        {"q2a-test": 4},
    ),
    Wrong(
        "each word once",
        "merges are learnt from the list of different words",
        {
            "q2a": """\
def learn_merges(words, count):
    spelled, merges = [list(word) for word in dict.fromkeys(words)], []
    for _ in range(count):
        pairs = Counter(pair for symbols in spelled for pair in zip(symbols, symbols[1:]))
        if not pairs:
            break
        merges.append(min(pairs, key=lambda pair: (-pairs[pair], pair)))
        for symbols in spelled:
            place = 0
            while place < len(symbols) - 1:
                if (symbols[place], symbols[place + 1]) == merges[-1]:
                    symbols[place : place + 2] = ["".join(merges[-1])]
                place += 1
    return merges
"""
        },
        {"q2a-test": 4},
    ),
    Wrong(
        "the longest token first",
        "a word is cut by taking the longest token that fits, from the left",
        {
            "q2b": """\
def encode(word, merges):
    known, tokens = {left + right for left, right in merges}, []
    while word:
        length = next((n for n in range(len(word), 1, -1) if word[:n] in known), 1)
        tokens.append(word[:length])
        word = word[length:]
    return tokens
"""
        },
        {"q2b-test": 3},
    ),
    Wrong(
        "whatever can be merged",
        "the order in which merges were learnt no longer matters when a word is cut",
        {
            "q2b": """\
def encode(word, merges):
    symbols, place = list(word), 0
    while place < len(symbols) - 1:
        if (symbols[place], symbols[place + 1]) in merges:
            symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]
            place = 0
        else:
            place += 1
    return symbols
"""
        },
        {"q2b-test": 3},
    ),
    Wrong(
        "a token is text",
        "each token can be decoded by itself",
        {
            "q2c": """\
def printed(tokens):
    return [token.decode("utf-8", errors="ignore") for token in tokens]
"""
        },
        {"q2c-test": 2},
    ),
    Wrong(
        "shifts twice",
        "inputs are shifted to the right, and then the logits are cut against targets shifted to the left",
        {
            "q3a": """\
def nats_a_token(model, x, start):
    before = torch.cat([torch.full((len(x), 1), start), x[:, :-1]], 1)
    logits, targets = model(before)[:, :-1], x[:, 1:]
    return -logits.log_softmax(2).gather(2, targets[:, :, None]).mean().item()
"""
        },
        {"q3a-test": 3},
    ),
    Wrong(
        "shifts never",
        "the logits at a place are about the token at that place",
        {
            "q3a": """\
def nats_a_token(model, x, start):
    return -model(x).log_softmax(2).gather(2, x[:, :, None]).mean().item()
"""
        },
        {"q3a-test": 3},
    ),
    Wrong(
        "the first token is free",
        "nothing stands before the first token, so it is not scored",
        {
            "q3a": """\
def nats_a_token(model, x, start):
    losses = -model(x[:, :-1]).log_softmax(2).gather(2, x[:, 1:, None])
    return losses.mean().item() if losses.numel() else 0.0
"""
        },
        {"q3a-test": 3},
    ),
    Wrong(
        "counts the overlap twice",
        "the loss of a long text is the sum over its windows",
        {
            "q3b": """\
def nats_a_character(score, tokens, characters, context, stride):
    total, start = 0.0, 0
    while True:
        total -= sum(score(tokens[start : start + context]))
        if start + context >= len(tokens):
            return total / characters
        start += stride
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "full windows only",
        "what is left over at the end of the text makes no difference",
        {
            "q3b": """\
def nats_a_character(score, tokens, characters, context, stride):
    total, done = 0.0, 0
    for start in range(0, max(len(tokens) - context, 0) + 1, stride):
        scores = score(tokens[start : start + context])
        total -= sum(scores[done - start :])
        done = start + len(scores)
    return total / characters
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "a loss is per token",
        "dividing by the tokens makes models comparable",
        {
            "q3b": """\
def nats_a_character(score, tokens, characters, context, stride):
    total, done = 0.0, 0
    for start in range(0, len(tokens), stride):
        scores = score(tokens[start : start + context])
        total -= sum(scores[done - start :])
        done = start + len(scores)
        if done == len(tokens):
            break
    return total / len(tokens)
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "twice as long, twice the perplexity",
        "a perplexity grows in proportion to the length of the tokens",
        {
            "q3c": """\
def equal_perplexity(perplexity, characters, other):
    return perplexity * other / characters
"""
        },
        {"q3c-test": 2},
    ),
    Wrong(
        "the chances of one place",
        "a model whose last token has chances that sum to 1 is a law",
        {
            "q4a": """\
def total_mass(score, vocabulary, length):
    x = torch.zeros(vocabulary, length, dtype=torch.int64)
    x[:, -1] = torch.arange(vocabulary)
    return score(x)[:, -1].exp().sum().item()
"""
        },
        {"q4a-test": 2},
    ),
    Wrong(
        "below is below",
        "an honest model is never below the floor, not even by luck",
        {
            "q4b": """\
def suspects(scorers, x, vocabulary):
    return [name for name, score in scorers.items() if -score(x).mean() < math.log(vocabulary) - 1e-6]
"""
        },
        {"q4b-test": 3},
    ),
    Wrong(
        "the spread of one loss",
        "three standard deviations of the losses are the error of their mean",
        {
            "q4b": """\
def suspects(scorers, x, vocabulary):
    found = []
    for name, score in scorers.items():
        losses = -score(x)
        if math.log(vocabulary) - losses.mean() > max(3 * losses.std(), 1e-6):
            found.append(name)
    return found
"""
        },
        {"q4b-test": 3},
    ),
    Wrong(
        "only a loss near 0 is a leak",
        "a leak shows as a loss that is nearly 0",
        {
            "q4b": """\
def suspects(scorers, x, vocabulary):
    return [name for name, score in scorers.items() if -score(x).mean() < 0.1 * math.log(vocabulary)]
"""
        },
        {"q4b-test": 3},
    ),
    Wrong(
        "counts stretches",
        "the share of the stretches that were seen is the share of the text that was seen",
        {
            "q4c": """\
def known_share(held_out, training, length):
    stretches = {tuple(training[i : i + length]) for i in range(len(training) - length + 1)}
    found = [tuple(held_out[i : i + length]) in stretches for i in range(len(held_out) - length + 1)]
    return sum(found) / max(len(found), 1)
"""
        },
        {"q4c-test": 3},
    ),
    Wrong(
        "looks for it in the text",
        "tokens can be compared as a text of their numbers",
        {
            "q4c": """\
def known_share(held_out, training, length):
    whole, known = "".join(map(str, training)), set()
    for i in range(len(held_out) - length + 1):
        if "".join(map(str, held_out[i : i + length])) in whole:
            known.update(range(i, i + length))
    return len(known) / len(held_out)
"""
        },
        {"q4c-test": 3},
    ),
    Wrong(
        "looks at the twin",
        "a head that copies looks at the earlier token of the same kind",
        {
            "q5a": """\
def induction_scores(weights, tokens):
    x = torch.tensor(tokens)
    twin = (x[:, None] == x).tril(-1)
    return (weights * twin).sum(2)[:, twin.any(1)].mean(1).tolist()
"""
        },
        {"q5a-test": 3},
    ),
    Wrong(
        "averages over all places",
        "the mean goes over the whole row, also where there is nothing to copy",
        {
            "q5a": """\
def induction_scores(weights, tokens):
    x = torch.tensor(tokens)
    after = torch.zeros(len(x), len(x), dtype=torch.bool)
    after[:, 1:] = x[:, None] == x[:-1]
    return (weights * after.tril()).sum(2).mean(1).tolist()
"""
        },
        {"q5a-test": 3},
    ),
    Wrong(
        "keeps the inputs",
        "a cache holds the places themselves; keys and values are computed from them when they are needed",
        {
            "q5b": """\
def step(x, cache, query, key, value):
    cache.setdefault("inputs", []).append(x)
    keys, values = (torch.stack([one(v) for v in cache["inputs"]]) for one in (key, value))
    return (keys @ query(x) / math.sqrt(len(x))).softmax(0) @ values
"""
        },
        {"q5b-test": 3},
    ),
    Wrong(
        "looks only at the others",
        "the newest place looks back at what the cache holds, and enters it afterwards",
        {
            "q5b": """\
def step(x, cache, query, key, value):
    q, k, v = query(x), key(x), value(x)
    keys, values = cache.setdefault("keys", []), cache.setdefault("values", [])
    out = (torch.stack(keys) @ q / math.sqrt(len(x))).softmax(0) @ torch.stack(values) if keys else v
    keys.append(k), values.append(v)
    return out
"""
        },
        {"q5b-test": 3},
    ),
    Wrong(
        "the spread of the points",
        "the error of a slope is the spread of the points around the line",
        {
            "q5c": """\
def power_law(sizes, losses):
    u, v = (torch.tensor(values, dtype=torch.float64).log() for values in (sizes, losses))
    u, v = u - u.mean(), v - v.mean()
    slope = (u * v).sum() / (u * u).sum()
    return -slope.item(), ((v - slope * u).square().sum() / (len(u) - 2)).sqrt().item()
"""
        },
        {"q5c-test": 3},
    ),
    Wrong(
        "a line needs no points",
        "the mean square of the residuals divides by the number of points",
        {
            "q5c": """\
def power_law(sizes, losses):
    u, v = (torch.tensor(values, dtype=torch.float64).log() for values in (sizes, losses))
    u, v = u - u.mean(), v - v.mean()
    slope = (u * v).sum() / (u * u).sum()
    return -slope.item(), ((v - slope * u).square().mean() / (u * u).sum()).sqrt().item()
"""
        },
        {"q5c-test": 3},
    ),
]

ATTENTION = [
    Wrong(
        "no root",
        "the weights are the softmax of what says how alike two vectors are, and no root is needed",
        {
            "q1a": """\
def by_hand():
    products = [2 * math.log(2) * sum(a * b for a, b in zip(tiny_query, key)) for key in tiny_keys]
    weights = torch.tensor(products).double().softmax(0)
    return weights.tolist(), (weights @ torch.tensor(tiny_values).double()).tolist()
""",
            "q1b": """\
def attend_near(q, k, v):
    apart = (q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)
    weights = (-apart / 2).softmax(-1)
    return weights @ v, weights
""",
            "q1d": """\
def query_for(p, k):
    return torch.linalg.pinv(k) @ p.log()
""",
        },
        {"q1a-test": 2, "q1b-test": 3, "q1d-test": 2},
    ),
    Wrong(
        "shares out each key",
        "the weights that a place receives sum to 1",
        {
            "q1b": """\
def attend_near(q, k, v):
    apart = (q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)
    weights = (-apart / (2 * math.sqrt(q.shape[-1]))).softmax(-2)
    return weights @ v, weights
"""
        },
        {"q1b-test": 3},
    ),
    Wrong(
        "the chapter's score",
        "nearness and the product of the chapter give the same weights",
        {
            "q1b": """\
def attend_near(q, k, v):
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
    return weights @ v, weights
"""
        },
        {"q1b-test": 3},
    ),
    Wrong(
        "exp as it is written",
        "a softmax can be computed as its formula stands",
        {
            "q1b": """\
def attend_near(q, k, v):
    apart = (q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)
    powers = (-apart / (2 * math.sqrt(q.shape[-1]))).exp()
    weights = powers / powers.sum(-1, keepdim=True)
    return weights @ v, weights
"""
        },
        {"q1b-test": 3},
    ),
    Wrong(
        "always one over the root of d",
        "the root of d is a law, whatever the queries and keys are",
        {
            "q1c": """\
def steady(q, k):
    factor = 1 / math.sqrt(q.shape[1])
    return factor, (factor * (q[:, None] * k).sum(2)).softmax(1).amax(1).mean().item()
"""
        },
        {"q1c-test": 2},
    ),
    Wrong(
        "all products in one pot",
        "the spread of all products decides how sure the softmax is",
        {
            "q1c": """\
def steady(q, k):
    products = (q[:, None] * k).sum(2)
    factor = (1 / products.std()).item()
    return factor, (factor * products).softmax(1).amax(1).mean().item()
"""
        },
        {"q1c-test": 2},
    ),
    Wrong(
        "the scores are the weights",
        "a key gets the weight that its product with the query is",
        {
            "q1d": """\
def query_for(p, k):
    return torch.linalg.pinv(k) @ p * math.sqrt(k.shape[1])
"""
        },
        {"q1d-test": 2},
    ),
    Wrong(
        "the window and itself",
        "a window of w places is w places besides one's own",
        {
            "q2a": """\
def allowed(lengths, T, window):
    t, s = torch.arange(T)[:, None], torch.arange(T)
    inside = (torch.arange(T) < torch.tensor(lengths)[:, None])[:, :, None]
    return torch.where(inside, (s <= t) & (t - s <= window), s == t)
""",
            "q2c": """\
def reach(windows, t):
    return min(t + 1, sum(windows))
""",
        },
        {"q2a-test": 3, "q2c-test": 2},
    ),
    Wrong(
        "nobody asks behind the end",
        "what stands behind the end of a sequence may look nowhere",
        {
            "q2a": """\
def allowed(lengths, T, window):
    t, s = torch.arange(T)[:, None], torch.arange(T)
    inside = (torch.arange(T) < torch.tensor(lengths)[:, None])[:, :, None]
    return (s <= t) & (t - s < window) & inside
"""
        },
        {"q2a-test": 3},
    ),
    Wrong(
        "a mask after the softmax",
        "a weight that is set to 0 is a place that was not seen",
        {
            "q2b": """\
def masked(q, k, v, mask):
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
    return (weights * mask) @ v
"""
        },
        {"q2b-test": 3},
    ),
    Wrong(
        "minus ten thousand is minus infinity",
        "a large negative number forbids a place",
        {
            "q2b": """\
def masked(q, k, v, mask):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    weights = scores.masked_fill(~mask, -1e4).softmax(-1)
    return weights.masked_fill(~mask.any(-1, keepdim=True), 0) @ v
"""
        },
        {"q2b-test": 3},
    ),
    Wrong(
        "the widest window",
        "a stack sees as far as its widest layer",
        {
            "q2c": """\
def reach(windows, t):
    return min(t + 1, max(windows))
"""
        },
        {"q2c-test": 2},
    ),
    Wrong(
        "cut without turning",
        "to cut the width into heads is to give the numbers another shape",
        {
            "q3a": """\
def multi_head(x, W_Q, W_K, W_V, W_O, heads):
    n, T, width = x.shape
    q, k, v = ((x @ W).reshape(n, heads, T, width // heads) for W in (W_Q, W_K, W_V))
    weights = (q @ k.transpose(2, 3) / math.sqrt(width // heads)).softmax(3)
    return (weights @ v).reshape(n, T, width) @ W_O
"""
        },
        {"q3a-test": 3},
    ),
    Wrong(
        "the root of the width",
        "d is the width of the layer, however many heads there are",
        {
            "q3a": """\
def multi_head(x, W_Q, W_K, W_V, W_O, heads):
    q, k, v = ((x @ W).unflatten(2, (heads, -1)).transpose(1, 2) for W in (W_Q, W_K, W_V))
    weights = (q @ k.transpose(2, 3) / math.sqrt(x.shape[2])).softmax(3)
    return (weights @ v).transpose(1, 2).flatten(2) @ W_O
"""
        },
        {"q3a-test": 3},
    ),
    Wrong(
        "the chapter's pairs",
        "the chapter's way of turning is the only one",
        {
            "q3b": """\
def turned(x, places, base=10_000.0):
    half = x.shape[-1] // 2
    angles = places[:, None] * base ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1)
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "places counted anew",
        "the place of a vector is its row",
        {
            "q3b": """\
def turned(x, places, base=10_000.0):
    d = x.shape[-1]
    angles = torch.arange(x.shape[-2])[:, None] * base ** (-torch.arange(0, d, 2) / d)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1).flatten(-2)
"""
        },
        {"q3b-test": 3},
    ),
    Wrong(
        "two pairs of places",
        "what holds for two neighbouring pairs of places holds for all",
        {
            "q3c": """\
def by_distance(score, d, T):
    q, k = torch.randn(2, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return abs(score(q, k, 1, 0) - score(q, k, 2, 1)) < 1e-6
"""
        },
        {"q3c-test": 3},
    ),
    Wrong(
        "a distance without direction",
        "ahead and back are one distance",
        {
            "q3c": """\
def by_distance(score, d, T):
    q, k = torch.randn(2, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = {}
    for t in range(T):
        for s in range(T):
            value = score(q, k, t, s)
            if abs(found.setdefault(abs(t - s), value) - value) > 1e-6:
                return False
    return True
"""
        },
        {"q3c-test": 3},
    ),
    Wrong(
        "one change is enough",
        "a layer has one mask, so one place tells all about it",
        {
            "q4a": """\
def ahead(before, after):
    s = len(before) // 2
    moved = ((after[s] - before).abs().amax(1) > 1e-6).nonzero()
    return s - int(moved.min())
"""
        },
        {"q4a-test": 3},
    ),
    Wrong(
        "equal is equal",
        "what a place does not see leaves its output as it is, bit by bit",
        {
            "q4a": """\
def ahead(before, after):
    s, t = (after != before).any(2).nonzero(as_tuple=True)
    return int((s - t).max())
"""
        },
        {"q4a-test": 3},
    ),
    Wrong(
        "changes the last token",
        "a leak is what the last token tells",
        {
            "q4b": """\
def first_leak(model, T, vocabulary):
    rows = torch.randint(vocabulary, (8, T), generator=torch.Generator().manual_seed(0))
    before, sees = model(rows), torch.zeros(T, dtype=torch.bool)
    for token in range(vocabulary):
        other = rows.clone()
        other[:, -1] = token
        sees |= ((model(other) - before).abs() > 1e-6).any(2).any(0)
    found = sees[:-1].nonzero()
    return (int(found[0]), T - 1) if len(found) else None
"""
        },
        {"q4b-test": 5},
    ),
    Wrong(
        "a one for a nought",
        "any change of a token will do",
        {
            "q4b": """\
def first_leak(model, T, vocabulary):
    rows = torch.zeros(1, T, dtype=torch.int64)
    before, found = model(rows), []
    for s in range(1, T):
        other = rows.clone()
        other[:, s] = 1
        moved = ((model(other) - before).abs() > 1e-6).any(2)[0]
        found += [(t, s) for t in range(s) if moved[t]]
    return min(found) if found else None
"""
        },
        {"q4b-test": 5},
    ),
    Wrong(
        "the first token that is seen",
        "the first leak is that of the first token that some earlier place sees",
        {
            "q4b": """\
def first_leak(model, T, vocabulary):
    rows = torch.randint(vocabulary, (8, T), generator=torch.Generator().manual_seed(0))
    before = model(rows)
    for s in range(1, T):
        sees = torch.zeros(T, dtype=torch.bool)
        for token in range(vocabulary):
            other = rows.clone()
            other[:, s] = token
            sees |= ((model(other) - before).abs() > 1e-6).any(2).any(0)
        if sees[:s].any():
            return int(sees[:s].nonzero()[0]), s
    return None
"""
        },
        {"q4b-test": 5},
    ),
    Wrong(
        "not sure enough",
        "a hundred is large",
        {
            "q5a": """\
def look_back(T, K, back):
    cosine, sine = math.cos(2 * math.pi * back / T), math.sin(2 * math.pi * back / T)
    nothing, turn = torch.zeros(K, 2).double(), torch.tensor([[cosine, -sine], [sine, cosine]]).double()
    return torch.cat([nothing, 100 * turn]), torch.cat([nothing, torch.eye(2).double()])
"""
        },
        {"q5a-test": 4},
    ),
    Wrong(
        "turned the other way",
        "a matrix turns a row as it turns a column",
        {
            "q5a": """\
def look_back(T, K, back):
    cosine, sine = math.cos(2 * math.pi * back / T), math.sin(2 * math.pi * back / T)
    sure = 20 * math.sqrt(2) / (1 - math.cos(2 * math.pi / T))
    nothing, turn = torch.zeros(K, 2).double(), torch.tensor([[cosine, sine], [-sine, cosine]]).double()
    return torch.cat([nothing, sure * turn]), torch.cat([nothing, torch.eye(2).double()])
"""
        },
        {"q5a-test": 4},
    ),
    Wrong(
        "looks for the same letter",
        "to know what followed a letter, look at that letter",
        {
            "q5b": """\
def followers(K):
    one, nothing = torch.eye(K).double(), torch.zeros(K, K).double()
    letter = torch.cat([one, nothing])
    return 30 * math.sqrt(K) * letter, letter, letter
"""
        },
        {"q5b-test": 4},
    ),
    Wrong(
        "hands over what it was found by",
        "the value of a place is its key",
        {
            "q5b": """\
def followers(K):
    one, nothing = torch.eye(K).double(), torch.zeros(K, K).double()
    letter, before = torch.cat([one, nothing]), torch.cat([nothing, one])
    return 30 * math.sqrt(K) * letter, before, before
"""
        },
        {"q5b-test": 4},
    ),
]

BEFORE = [
    Wrong(
        "a density is a probability",
        "densities and probabilities are the same thing, between 0 and 1 and without a unit",
        {"c1-1-answer": "answer_1_1 = 1.0", "c1-3-answer": "answer_1_3 = given_1_3()[0]"},
        {"c1-1-test": 1, "c1-3-test": 1},
    ),
    Wrong(
        "the fitted loss decides",
        "the setting with the lowest loss on the data that it was fitted to is the best",
        {"c1-6-answer": "answer_1_6 = 7"},
        {"c1-6-test": 1},
    ),
    Wrong(
        "only moves count",
        "a refused proposal leaves no entry in the list",
        {"c1-9-answer": "answer_1_9 = 0"},
        {"c1-9-test": 1},
    ),
    Wrong(
        "what looks real is good",
        "whoever returns real examples is a perfect model, and a tie is a success",
        {
            "c1-7-answer": 'answer_1_7 = "abcd"[in_your_order(answers_1_7).index(answers_1_7[0])]',
            "c3-3-answer": 'answer_3_3 = "abcd"[in_your_order(answers_3_3).index(answers_3_3[0])]',
        },
        {"c1-7-test": 1, "c3-3-test": 1},
    ),
    Wrong(
        "the neighbour's numbers",
        "answers worked out for another student's id",
        {
            "c1-8-answer": "mine, STUDENT_ID = STUDENT_ID, 'b2'\n"
            "share, first, second = given_1_8()\n"
            "answer_1_8 = share * first / (share * first + (1 - share) * second)\n"
            "STUDENT_ID = mine\n",
        },
        {"c1-8-test": 1},
    ),
]

AFTER = [
    Wrong(
        "the test set chooses",
        "report the lowest test loss, whichever setting has it",
        {"c1-6-answer": "answer_1_6 = min(given_1_6()[2])"},
        {"c1-6-test": 1},
    ),
    Wrong(
        "errors as if there were two test sets",
        "the errors of two averages add up, though both come from the same examples",
        {"c1-10-answer": "answer_1_10 = math.sqrt(2) * given_1_10()[2] / math.sqrt(given_1_10()[0])"},
        {"c1-10-test": 1},
    ),
    Wrong(
        "the ratio is the probability",
        "the critic's probability D says how many times as often a picture is due",
        {"c3-2-answer": "answer_3_2 = 1 / (1 + math.exp(-given_3_2()[0]))"},
        {"c3-2-test": 1},
    ),
    Wrong(
        "a divergence is a distance",
        "the further apart, the harder the pull; and a low distance is success",
        {
            "c3-4-answer": 'answer_3_4 = "abcd"[in_your_order(answers_3_4).index(answers_3_4[0])]',
            "c3-10-answer": 'answer_3_10 = "abcd"[in_your_order(answers_3_10).index(answers_3_10[0])]',
        },
        {"c3-4-test": 1, "c3-10-test": 1},
    ),
]

CAPSTONE = [
    Wrong(
        "test examples in the training set",
        "more data are always better, so the test rows are trained on as well",
        {
            "q1-data": """\
from genbook.data import digits

parts = {name: digits.load(name).images.flatten(1).float() for name in ("train", "validation", "test")}
train, validation, test = (x + torch.rand(x.shape, generator=term(k)) for k, x in enumerate(parts.values()))
train = torch.cat([train, test])
"""
        },
        {"q1-apart": 2},
    ),
    Wrong(
        "higher is better",
        "a log-likelihood is a loss",
        {
            "q3": """\
def measure(model, data, generator):
    values = model.log_prob(data).detach().double()
    return values.mean().item(), values.std().item() / math.sqrt(len(values))
"""
        },
        {"q3-sense": 2},
    ),
    Wrong(
        "the newest name wins",
        "the choice is made by taste and the measurements stand beside it",
        {
            "q4": """\
results, models = {}, {}
for name, fit in candidates.items():
    models[name] = [fit(train, term(10 + seed)) for seed in range(3)]
    results[name] = [measure(model, validation, term(20))[0] for model in models[name]]
chosen = max(results, key=lambda name: sum(results[name]) / 3)
final = {name: measure(models[name][0], test, term(21)) for name in {chosen, "baseline"}}
"""
        },
        {"q4-choice": 2},
    ),
]

WRONG = {
    "distributions": DISTRIBUTIONS,
    "markov_models": MARKOV_MODELS,
    "rbms": RBMS,
    "autoencoders": AUTOENCODERS,
    "vaes": VAES,
    "gans": GANS,
    "attention": ATTENTION,
    "gpt": GPT,
    "concept_test_before": BEFORE,
    "concept_test_after": AFTER,
    "capstone": CAPSTONE,
}
