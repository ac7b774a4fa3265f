import math

import torch
from torch import nn

from wrong_answers import wrong

# top_k_accuracy

E = "ch12.top_k_accuracy"


def _own(logits, labels):
    return logits.gather(1, labels[:, None])


def _right(logits, labels, k):
    return (logits < _own(logits, labels)).sum(1) >= logits.shape[1] - k


@wrong(E, "among the first k", "smallest")
def smallest_logits(logits, labels, k):
    return (logits > _own(logits, labels)).sum(1).ge(logits.shape[1] - k).double().mean()


@wrong(E, "among the first k", "too few")
def one_class_too_few(logits, labels, k):
    return _right(logits, labels, k - 1).double().mean()


@wrong(E, "among the first k", "too many")
def one_class_too_many(logits, labels, k):
    return (_right(logits, labels, k + 1) & (logits != logits[:, :1]).any(1)).double().mean()


@wrong(E, "among the first k", "whatever k is")
def only_the_first(logits, labels, k):
    return _right(logits, labels, 1).double().mean()


@wrong(E, "among the first k", "divide")
def number_of_images(logits, labels, k):
    return _right(logits, labels, k).double().sum()


@wrong(E, "among the first k", "right once")
def mean_over_the_places(logits, labels, k):
    return (logits.topk(k).indices == labels[:, None]).double().mean()


@wrong(E, "a classifier that knows nothing", "breaks ties")
def by_topk(logits, labels, k):
    return (logits.topk(k).indices == labels[:, None]).any(1).double().mean()


@wrong(E, "a classifier that knows nothing", "ties are won")
def not_smaller_than_the_largest(logits, labels, k):
    return (_own(logits, labels) >= logits.topk(k).values[:, -1:]).double().mean()


@wrong(E, "a network that diverged", "NaN counts as right")
def few_that_are_not_smaller(logits, labels, k):
    return ((logits >= _own(logits, labels)).sum(1) <= k).double().mean()


# label_fraction

E = "ch12.label_fraction"


def _members(labels):
    return [(labels == c).nonzero()[:, 0] for c in labels.unique()]


def _counted(labels, fraction, rounding=round):
    for members in _members(labels):
        count = rounding(fraction * len(members))
        if count == 0:
            raise ValueError("a class without images")
        yield members, count


def _shuffled(members, generator):
    return members[torch.randperm(len(members), generator=generator)]


def _fraction(labels, fraction, generator, rounding=round):
    return torch.cat([_shuffled(m, generator)[:n] for m, n in _counted(labels, fraction, rounding)])


@wrong(E, "the share of each class", "not of all images together")
def fraction_of_all_images(labels, fraction, generator):
    list(_counted(labels, fraction))
    return torch.randperm(len(labels), generator=generator)[: round(fraction * len(labels))]


@wrong(E, "the share of each class", "same number of each class")
def as_many_of_each_class(labels, fraction, generator):
    total = sum(n for _, n in _counted(labels, fraction))
    classes = _members(labels)
    drawn = torch.cat([_shuffled(m, generator)[: -(-total // len(classes))] for m in classes])
    return drawn[:total]


@wrong(E, "the share of each class", "positions")
def a_mask(labels, fraction, generator):
    chosen = _fraction(labels, fraction, generator)
    return torch.zeros(len(labels), dtype=torch.bool).index_fill(0, chosen, True)


@wrong(E, "no image twice", "without replacement")
def with_replacement(labels, fraction, generator):
    longest = [m[torch.randint(len(m), (len(m),), generator=generator)] for m, _ in _counted(labels, fraction)]
    return torch.cat([m[:n] for m, (_, n) in zip(longest, _counted(labels, fraction), strict=True)])


@wrong(E, "rounded to the nearest", "int()")
def cut_off(labels, fraction, generator):
    return _fraction(labels, fraction, generator, int)


@wrong(E, "rounded to the nearest", "rounded up")
def rounded_up(labels, fraction, generator):
    list(_counted(labels, fraction))
    return _fraction(labels, fraction, generator, math.ceil)


@wrong(E, "a class left empty", "no error came")
def without_a_word(labels, fraction, generator):
    return torch.cat([_shuffled(m, generator)[: round(fraction * len(m))] for m in _members(labels)])


@wrong(E, "a class left empty", "another fraction")
def at_least_one(labels, fraction, generator):
    return _fraction(labels, fraction, generator, lambda x: max(1, round(x)))


@wrong(E, "the generator decides", "generator=generator")
def global_chance(labels, fraction, generator):
    return _fraction(labels, fraction, None)


@wrong(E, "the generator decides", "seed is fixed")
def fixed_seed(labels, fraction, generator):
    return _fraction(labels, fraction, torch.Generator().manual_seed(0))


@wrong(E, "the generator decides", "nested")
def one_by_one(labels, fraction, generator):
    drawn = []
    for members, count in _counted(labels, fraction):
        pool = members.tolist()
        drawn += [pool.pop(int(torch.randint(len(pool), (1,), generator=generator))) for _ in range(count)]
    return torch.tensor(drawn)


@wrong(E, "every image can come", "not the first ones")
def the_first_of_each_class(labels, fraction, generator):
    return _shuffled(torch.cat([m[:n] for m, n in _counted(labels, fraction)]), generator)


# frozen_features

E = "ch12.frozen_features"


def _features(encoder, images):
    modes = {m: m.training for m in encoder.modules()}
    encoder.eval()
    with torch.no_grad():
        features = encoder(images)
    for m, mode in modes.items():
        m.training = mode
    return features


@wrong(E, "the output of the encoder", "normalised")
def normalised(encoder, images):
    return nn.functional.normalize(_features(encoder, images), dim=1)


@wrong(E, "the output of the encoder", "standardised")
def standardised(encoder, images):
    features = _features(encoder, images)
    return (features - features.mean(0)) / features.std(0)


@wrong(E, "as in evaluation", "adapted")
def no_grad_alone(encoder, images):
    with torch.no_grad():
        return encoder(images)


@wrong(E, "as in evaluation", "adapted")
def frozen_by_requires_grad(encoder, images):
    flags = [(p, p.requires_grad) for p in encoder.parameters()]
    encoder.requires_grad_(False)
    features = encoder(images)
    for p, flag in flags:
        p.requires_grad = flag
    return features


@wrong(E, "as in evaluation", "depend on the batch")
def statistics_put_back(encoder, images):
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    dropout = encoder.dropout.training
    encoder.dropout.training = False
    with torch.no_grad():
        features = encoder(images)
    encoder.dropout.training = dropout
    encoder.load_state_dict(state)
    return features


@wrong(E, "as in evaluation", "dropout")
def batch_norm_only(encoder, images):
    norms = [(m, m.training) for m in encoder.modules() if isinstance(m, nn.BatchNorm1d)]
    for m, _ in norms:
        m.eval()
    with torch.no_grad():
        features = encoder(images)
    for m, mode in norms:
        m.train(mode)
    return features


@wrong(E, "no graph", "torch.no_grad()")
def with_graph(encoder, images):
    modes = {m: m.training for m in encoder.modules()}
    features = encoder.eval()(images)
    for m, mode in modes.items():
        m.training = mode
    return features


@wrong(E, "modes as they were", "left in evaluation")
def left_in_evaluation(encoder, images):
    with torch.no_grad():
        return encoder.eval()(images)


@wrong(E, "modes as they were", "came in evaluation")
def always_training_afterwards(encoder, images):
    features = _features(encoder, images)
    encoder.train()
    return features


@wrong(E, "modes as they were", "sets every part")
def the_mode_of_the_whole(encoder, images):
    was = encoder.training
    features = _features(encoder, images)
    encoder.train(was)
    return features


@wrong(E, "parameters as they were", "requires_grad was changed")
def requires_grad_left_off(encoder, images):
    encoder.requires_grad_(False)
    return _features(encoder, images)


@wrong(E, "parameters as they were", "requires_grad was changed")
def requires_grad_for_all_afterwards(encoder, images):
    features = _features(encoder.requires_grad_(False), images)
    encoder.requires_grad_(True)
    return features


# fine_tuning_groups

E = "ch12.fine_tuning_groups"


def _groups(others, of_head, encoder_lr, head_lr):
    return [{"params": others, "lr": encoder_lr}, {"params": of_head, "lr": head_lr}]


def _others(model, head):
    known = {id(p) for p in head.parameters()}
    return [p for p in model.parameters() if id(p) not in known]


@wrong(E, "each parameter has its rate", "swapped")
def rates_swapped(model, head, encoder_lr, head_lr):
    return _groups(_others(model, head), list(head.parameters()), head_lr, encoder_lr)


@wrong(E, "each parameter has its rate", "encoder learns too")
def head_alone(model, head, encoder_lr, head_lr):
    return [{"params": list(head.parameters()), "lr": head_lr}]


@wrong(E, "each parameter has its rate", "so does the head")
def encoder_alone(model, head, encoder_lr, head_lr):
    return [{"params": _others(model, head), "lr": encoder_lr}]


@wrong(E, "each parameter has its rate", "head has the rate")
def one_rate_for_all(model, head, encoder_lr, head_lr):
    return [{"params": list(model.parameters()), "lr": encoder_lr}]


@wrong(E, "each parameter has its rate", "missing")
def weights_without_biases(model, head, encoder_lr, head_lr):
    others = [p for p in _others(model, head) if p.ndim > 1]
    return _groups(others, [p for p in head.parameters()], encoder_lr, head_lr)


@wrong(E, "each parameter has its rate", "frozen")
def without_the_frozen(model, head, encoder_lr, head_lr):
    others = [p for p in _others(model, head) if p.requires_grad]
    return _groups(others, list(head.parameters()), encoder_lr, head_lr)


@wrong(E, "each parameter once", "leave its parameters out")
def the_whole_model_and_the_head(model, head, encoder_lr, head_lr):
    return _groups(model.parameters(), head.parameters(), encoder_lr, head_lr)


@wrong(E, "each parameter has its rate", "names")
def by_the_name_of_a_part(model, head, encoder_lr, head_lr):
    named = list(model.named_parameters())
    return _groups(
        [p for name, p in named if not name.startswith("head") and id(p) not in {id(q) for q in head.parameters()}],
        [p for name, p in named if name.startswith("head") or id(p) in {id(q) for q in head.parameters()}],
        encoder_lr,
        head_lr,
    )


@wrong(E, "each parameter has its rate", "names")
def the_last_part_is_the_head(model, head, encoder_lr, head_lr):
    last = list(model.children())[-1]
    return _groups(_others(model, last), list(last.parameters()), encoder_lr, head_lr)


@wrong(E, "each parameter once", "tied weight")
def part_by_part(model, head, encoder_lr, head_lr):
    return [
        {"params": list(part.parameters()), "lr": head_lr if part is head else encoder_lr} for part in model.children()
    ]


# seen_before

E = "ch12.seen_before"


def _rows(images):
    return [tuple(image.flatten().tolist()) for image in images]


@wrong(E, "equal to some training image", "not seen")
def those_not_seen(train, test):
    seen = set(_rows(train))
    return torch.tensor([row not in seen for row in _rows(test)])


@wrong(E, "equal to some training image", "one equal pixel")
def any_pixel(train, test):
    return (train[None] == test[:, None]).flatten(2).any(2).any(1)


@wrong(E, "equal to some training image", "each training image")
def for_each_training_image(train, test):
    seen = set(_rows(test))
    return torch.tensor([row in seen for row in _rows(train)])


@wrong(E, "equal to some training image", "i-th")
def the_ith_with_the_ith(train, test):
    rows = _rows(train)
    return torch.tensor([i < len(rows) and row == rows[i] for i, row in enumerate(_rows(test))])


@wrong(E, "the same pixels in other places", "sums")
def equal_sums(train, test):
    seen = {sum(row) for row in _rows(train)}
    return torch.tensor([sum(row) in seen for row in _rows(test)])


@wrong(E, "the same pixels in other places", "in their places")
def sorted_pixels(train, test):
    seen = {tuple(sorted(row)) for row in _rows(train)}
    return torch.tensor([tuple(sorted(row)) in seen for row in _rows(test)])


@wrong(E, "twice in the test set", "twice in the test set")
def more_than_once_in_all(train, test):
    _, number, counts = torch.cat([train, test]).flatten(1).unique(dim=0, return_inverse=True, return_counts=True)
    return (counts > 1)[number[len(train) :]]


@wrong(E, "neither table nor loop of pairs", "all pairs")
def all_pairs(train, test):
    return (train[None] == test[:, None]).flatten(2).all(2).any(1)


@wrong(E, "neither table nor loop of pairs", "every training image")
def each_with_each(train, test):
    return torch.tensor([any(torch.equal(a, b) for b in train) for a in test])


# mcnemar

E = "ch12.mcnemar"


def _only(right_a, right_b):
    return int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())


def _sum(n, up_to):
    return sum(math.comb(n, k) for k in range(up_to + 1)) / 2**n


@wrong(E, "a small table", "one-sided")
def one_sided(right_a, right_b):
    b, c = _only(right_a, right_b)
    return _sum(b + c, min(b, c))


@wrong(E, "a small table", "just this split")
def this_split_alone(right_a, right_b):
    b, c = _only(right_a, right_b)
    return min(1.0, 2 * math.comb(b + c, b) / 2 ** (b + c))


@wrong(E, "a small table", "included")
def split_left_out(right_a, right_b):
    b, c = _only(right_a, right_b)
    return min(1.0, 2 * _sum(b + c, min(b, c) - 1)) if b != c else 1.0


@wrong(E, "a small table", "normal distribution")
def normal_approximation(right_a, right_b):
    b, c = _only(right_a, right_b)
    return math.erfc(abs(b - c) / math.sqrt(2 * max(b + c, 1)))


@wrong(E, "a small table", "continuity")
def with_continuity_correction(right_a, right_b):
    b, c = _only(right_a, right_b)
    return math.erfc(max(abs(b - c) - 1, 0) / math.sqrt(2 * max(b + c, 1)))


@wrong(E, "a small table", "image by image")
def unpaired(right_a, right_b):
    p, q, n = right_a.double().mean(), right_b.double().mean(), len(right_a)
    error = ((p * (1 - p) + q * (1 - q)) / n).sqrt()
    return float(torch.erfc((p - q).abs() / error / math.sqrt(2)))


@wrong(E, "a small table", "tosses too")
def all_images_are_tosses(right_a, right_b):
    b, c = _only(right_a, right_b)
    return min(1.0, 2 * _sum(len(right_a), min(b, c)))


@wrong(E, "a small table", "more frequent")
def sum_up_to_the_larger(right_a, right_b):
    b, c = _only(right_a, right_b)
    return min(1.0, 2 * _sum(b + c, max(b, c)))


@wrong(E, "either network may be better", "exchanged")
def the_second_is_the_worse(right_a, right_b):
    b, c = _only(right_a, right_b)
    return min(1.0, 2 * _sum(b + c, c))


@wrong(E, "as many wins as losses", "at most 1")
def more_than_1(right_a, right_b):
    b, c = _only(right_a, right_b)
    return 2 * _sum(b + c, min(b, c)) if b + c else 1.0


@wrong(E, "no image in dispute", "nothing speaks")
def nothing_in_dispute_is_certain(right_a, right_b):
    b, c = _only(right_a, right_b)
    return min(1.0, 2 * _sum(b + c, min(b, c))) if b + c else 0.0


@wrong(E, "thousands of images in dispute", "integers")
def in_floating_point(right_a, right_b):
    b, c = _only(right_a, right_b)
    return min(1.0, 2 * sum(math.comb(b + c, k) * 0.5 ** (b + c) for k in range(min(b, c) + 1)))
