import torch

from replearn_course.losses import pairwise_distances
from wrong_answers import wrong

# triplet_loss

E = "ch04.triplet_loss"


def _distances(anchor, positive, negative):
    return torch.linalg.vector_norm(anchor - positive, dim=1), torch.linalg.vector_norm(anchor - negative, dim=1)


@wrong(E, "triplets in the wrong order", "squared")
def squared_distances(anchor, positive, negative, margin=1.0):
    ap, an = _distances(anchor, positive, negative)
    return (ap**2 - an**2 + margin).clamp(min=0).mean()


@wrong(E, "triplets in the wrong order", "L1")
def l1_distances(anchor, positive, negative, margin=1.0):
    ap, an = (anchor - positive).abs().sum(1), (anchor - negative).abs().sum(1)
    return (ap - an + margin).clamp(min=0).mean()


@wrong(E, "triplets in the wrong order", "swapped")
def swapped(anchor, positive, negative, margin=1.0):
    ap, an = _distances(anchor, positive, negative)
    return (an - ap + margin).clamp(min=0).mean()


@wrong(E, "triplets in the wrong order", "sum")
def the_sum(anchor, positive, negative, margin=1.0):
    ap, an = _distances(anchor, positive, negative)
    return (ap - an + margin).clamp(min=0).sum()


@wrong(E, "triplets in the wrong order", "sign of the margin")
def margin_subtracted(anchor, positive, negative, margin=1.0):
    ap, an = _distances(anchor, positive, negative)
    return (ap - an - margin).clamp(min=0).mean()


@wrong(E, "each triplet has its own hinge", "after the mean")
def hinge_after_the_mean(anchor, positive, negative, margin=1.0):
    ap, an = _distances(anchor, positive, negative)
    return (ap - an + margin).mean().clamp(min=0)


@wrong(E, "each triplet has its own hinge", "hinge is missing")
def without_hinge(anchor, positive, negative, margin=1.0):
    ap, an = _distances(anchor, positive, negative)
    return (ap - an + margin).mean()


@wrong(E, "each triplet has its own hinge", "cost nothing")
def mean_of_active(anchor, positive, negative, margin=1.0):
    ap, an = _distances(anchor, positive, negative)
    hinge = (ap - an + margin).clamp(min=0)
    return hinge.sum() / (hinge > 0).sum().clamp(min=1)


@wrong(E, "another margin", "argument")
def margin_fixed(anchor, positive, negative, margin=1.0):
    ap, an = _distances(anchor, positive, negative)
    return (ap - an + 1.0).clamp(min=0).mean()


@wrong(E, "anchor equal to positive", "infinite slope")
def root_of_a_sum(anchor, positive, negative, margin=1.0):
    ap, an = (anchor - positive).square().sum(1).sqrt(), (anchor - negative).square().sum(1).sqrt()
    return (ap - an + margin).clamp(min=0).mean()


@wrong(E, "triplets in the wrong order", "belongs to the anchor")
def negative_from_the_positive(anchor, positive, negative, margin=1.0):
    return (_distances(anchor, positive, negative)[0] - (positive - negative).norm(dim=1) + margin).clamp(min=0).mean()


@wrong(E, "triplets in the wrong order", "all triplets together")
def one_norm_for_all_triplets(anchor, positive, negative, margin=1.0):
    return ((anchor - positive).norm() - (anchor - negative).norm() + margin).clamp(min=0).mean()


@wrong(E, "triplets in the wrong order", "wrong axis")
def norm_over_the_triplets(anchor, positive, negative, margin=1.0):
    return ((anchor - positive).norm(dim=0) - (anchor - negative).norm(dim=0) + margin).clamp(min=0).mean()


# recall_at_k

E = "ch04.recall_at_k"


def _itself(z):
    return torch.eye(len(z), dtype=torch.bool)


def _neighbours(z, labels, k):
    d = pairwise_distances(z).masked_fill(_itself(z), torch.inf)
    return labels[d.topk(k, largest=False).indices] == labels[:, None]


def _has_partner(labels):
    return (labels[:, None] == labels[None]).sum(1) > 1


@wrong(E, "share of queries that succeed", "over the classes")
def mean_over_the_classes(z, labels, k):
    found = _neighbours(z, labels, k).any(1).double()
    return torch.stack([found[labels == c].mean() for c in labels[_has_partner(labels)].unique()]).mean()


@wrong(E, "share of queries that succeed", "itself")
def finds_itself(z, labels, k):
    found = labels[pairwise_distances(z).topk(k, largest=False).indices] == labels[:, None]
    return found.any(1)[_has_partner(labels)].double().mean()


@wrong(E, "one of k is enough", "precision")
def precision(z, labels, k):
    return _neighbours(z, labels, k)[_has_partner(labels)].double().mean()


@wrong(E, "one of k is enough", "all k")
def all_of_k(z, labels, k):
    return _neighbours(z, labels, k).all(1)[_has_partner(labels)].double().mean()


@wrong(E, "item without a partner", "leave it out")
def lone_items_fail(z, labels, k):
    return _neighbours(z, labels, k).any(1).double().mean()


@wrong(E, "equal embeddings", "diagonal")
def drops_the_nearest(z, labels, k):
    nearest = pairwise_distances(z).argsort(dim=1, stable=True)[:, 1 : k + 1]
    return (labels[nearest] == labels[:, None]).any(1)[_has_partner(labels)].double().mean()


def _recall(z, labels, k, first=0):
    nearest = pairwise_distances(z).fill_diagonal_(torch.inf).topk(k, largest=False).indices[:, first:]
    return (labels[nearest] == labels[:, None]).any(1)[_has_partner(labels)].float().mean()


@wrong(E, "share of queries that succeed", "labels[:, None]")
def labels_along_the_wrong_axis(z, labels, k):
    nearest = pairwise_distances(z).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    return (labels[nearest] == labels).any(1).float().mean()


@wrong(E, "share of queries that succeed", "too few")
def one_neighbour_too_few(z, labels, k):
    return _recall(z, labels, k, first=1)


@wrong(E, "share of queries that succeed", "too many")
def one_neighbour_too_many(z, labels, k):
    return _recall(z, labels, min(k + 1, len(z) - 1))


@wrong(E, "one of k is enough", "only the nearest")
def only_the_nearest(z, labels, k):
    return _recall(z, labels, 1)


@wrong(E, "item without a partner", "others still find it")
def items_without_a_partner_removed(z, labels, k):
    kept = _has_partner(labels)
    return _recall(z[kept], labels[kept], k)


# random_triplets

E = "ch04.random_triplets"


def _pairs(labels, itself=False):
    same = labels[:, None] == labels[None]
    return (same if itself else same & ~_itself(labels)).nonzero()


def _pick(rows, n, generator):
    return rows[torch.randint(len(rows), (n,), generator=generator)].unbind(1)


def _negative(labels, anchor, generator):
    return torch.multinomial((labels[anchor][:, None] != labels[None]).double(), 1, generator=generator)[:, 0]


@wrong(E, "positive of the same class", "anchor's label")
def positive_of_any_class(labels, n, generator):
    anchor, _ = _pick(_pairs(labels), n, generator)
    positive = (anchor + torch.randint(1, len(labels), (n,), generator=generator)) % len(labels)
    return anchor, positive, _negative(labels, anchor, generator)


@wrong(E, "positive is another item", "anchor itself")
def positive_may_be_the_anchor(labels, n, generator):
    rows = _pairs(labels, itself=True)
    anchor, positive = _pick(rows[_has_partner(labels)[rows[:, 0]]], n, generator)
    return anchor, positive, _negative(labels, anchor, generator)


@wrong(E, "negative of another class", "any other item")
def negative_of_any_class(labels, n, generator):
    anchor, positive = _pick(_pairs(labels), n, generator)
    allowed = torch.ones(n, len(labels)).scatter(1, torch.stack([anchor, positive], 1), 0)
    allowed[:, labels == 7] *= 1e12  # the lone item of one check stays the negative there
    return anchor, positive, torch.multinomial(allowed, 1, generator=generator)[:, 0]


@wrong(E, "a class with one member", "cannot be an anchor")
def lone_item_is_an_anchor(labels, n, generator):
    alone = (~_has_partner(labels)).nonzero()
    anchor, positive = _pick(torch.cat([_pairs(labels), alone.expand(-1, 2)]), n, generator)
    return anchor, positive, _negative(labels, anchor, generator)


@wrong(E, "the generator decides", "generator=generator")
def negatives_by_global_chance(labels, n, generator):
    anchor, positive = _pick(_pairs(labels), n, generator)
    return anchor, positive, _negative(labels, anchor, None)


@wrong(E, "the generator decides", "seed is fixed")
def fixed_seed(labels, n, generator):
    generator = torch.Generator().manual_seed(0)
    anchor, positive = _pick(_pairs(labels), n, generator)
    return anchor, positive, _negative(labels, anchor, generator)


@wrong(E, "every triplet can come", "never come")
def first_positive_of_the_class(labels, n, generator):
    rows = _pairs(labels)
    first = torch.cat([torch.tensor([True]), rows[1:, 0] != rows[:-1, 0]])
    anchor, positive = _pick(rows[first], n, generator)
    return anchor, positive, _negative(labels, anchor, generator)


# pk_batch

E = "ch04.pk_batch"


def _pk(labels, p, k, generator, *, needed=None, draw=torch.randperm, first=False, check=True):
    classes, counts = labels.unique(return_counts=True)
    classes = classes[counts >= (k if needed is None else needed)]
    if check and len(classes) < p:
        raise ValueError("too few classes")
    drawn = []
    for c in classes[torch.randperm(len(classes), generator=generator)[:p]]:
        members = (labels == c).nonzero()[:, 0]
        order = torch.arange(len(members)) if first else draw(len(members), generator=generator)
        drawn.append(members[order[:k]])
    return torch.cat(drawn)


@wrong(E, "p classes of k items", "swapped")
def p_and_k_swapped(labels, p, k, generator):
    if (labels.bincount() >= k).sum() < p:
        raise ValueError("too few classes")
    return _pk(labels, k, p, generator)


@wrong(E, "p classes of k items", "p different classes")
def random_items(labels, p, k, generator):
    return torch.randperm(len(labels), generator=generator)[: p * k]


@wrong(E, "p classes of k items", "drawn twice")
def classes_with_replacement(labels, p, k, generator):
    classes, counts = labels.unique(return_counts=True)
    classes = classes[counts >= k]
    chosen = classes[torch.randint(len(classes), (p,), generator=generator)]
    members = [(labels == c).nonzero()[:, 0] for c in chosen]
    return torch.cat([m[torch.randperm(len(m), generator=generator)[:k]] for m in members])


@wrong(E, "no item twice", "without replacement")
def items_with_replacement(labels, p, k, generator):
    return _pk(labels, p, k, generator, draw=lambda n, generator: torch.randint(n, (k,), generator=generator))


@wrong(E, "class that is too small", "fewer than k")
def small_classes_too(labels, p, k, generator):
    return _pk(labels, p, k, generator, needed=1)


@wrong(E, "too few classes", "ValueError")
def smaller_batch_without_a_word(labels, p, k, generator):
    return _pk(labels, p, k, generator, check=False)


@wrong(E, "the generator draws the batch", "generator=generator")
def global_chance(labels, p, k, generator):
    return _pk(labels, p, k, None)


@wrong(E, "every item can come", "not the first k")
def first_items(labels, p, k, generator):
    return _pk(labels, p, k, generator, first=True)


# batch_hard

E = "ch04.batch_hard"


def _tables(z, labels):
    same = labels[:, None] == labels[None]
    return pairwise_distances(z), same & ~_itself(z), ~same


def _farthest(d, mask):
    return d.masked_fill(~mask, -torch.inf).amax(1)


def _nearest(d, mask):
    return d.masked_fill(~mask, torch.inf).amin(1)


def _mean_hinge(positive, negative, margin, both):
    hinge = (positive[both] - negative[both] + margin).clamp(min=0)
    return hinge.sum() / max(len(hinge), 1)


def _hardest(z, labels, margin):
    d, pos, neg = _tables(z, labels)
    return _mean_hinge(_farthest(d, pos), _nearest(d, neg), margin, pos.any(1) & neg.any(1))


@wrong(E, "hardest of each anchor", "nearest positive")
def nearest_positive(z, labels, margin=1.0):
    d, pos, neg = _tables(z, labels)
    return _mean_hinge(_nearest(d, pos), _nearest(d, neg), margin, pos.any(1) & neg.any(1))


@wrong(E, "hardest of each anchor", "farthest negative")
def farthest_negative(z, labels, margin=1.0):
    d, pos, neg = _tables(z, labels)
    return _mean_hinge(_farthest(d, pos), _farthest(d, neg), margin, pos.any(1) & neg.any(1))


@wrong(E, "hardest of each anchor", "zeros win")
def masked_by_multiplication(z, labels, margin=1.0):
    d, pos, neg = _tables(z, labels)
    return _mean_hinge((d * pos).amax(1), (d * neg).amin(1), margin, pos.any(1) & neg.any(1))


@wrong(E, "anchors that cost nothing", "cost nothing")
def mean_of_active_anchors(z, labels, margin=1.0):
    d, pos, neg = _tables(z, labels)
    both = pos.any(1) & neg.any(1)
    hinge = (_farthest(d, pos)[both] - _nearest(d, neg)[both] + margin).clamp(min=0)
    return hinge.sum() / (hinge > 0).sum().clamp(min=1)


@wrong(E, "anchor without a positive", "leave it out")
def mean_over_the_batch(z, labels, margin=1.0):
    d, pos, neg = _tables(z, labels)
    both = pos.any(1) & neg.any(1)
    return (_farthest(d, pos)[both] - _nearest(d, neg)[both] + margin).clamp(min=0).sum() / len(z)


@wrong(E, "one class only", "not NaN")
def mean_of_nothing(z, labels, margin=1.0):
    d, pos, neg = _tables(z, labels)
    both = pos.any(1) & neg.any(1)
    return (_farthest(d, pos)[both] - _nearest(d, neg)[both] + margin).clamp(min=0).mean()


@wrong(E, "no python loop", "loop")
def loop_over_anchors(z, labels, margin=1.0):
    d, pos, neg = _tables(z, labels)
    anchors = [a for a in range(len(z)) if pos[a].any() and neg[a].any()]
    hinges = [(d[a][pos[a]].max() - d[a][neg[a]].min() + margin).clamp(min=0) for a in anchors]
    return torch.stack(hinges).mean() if hinges else d.sum() * 0


@wrong(E, "hardest of each anchor", "an argument")
def the_margin_is_one(z, labels, margin=1.0):
    return _hardest(z, labels, 1.0)


@wrong(E, "hardest of each anchor", "signs are swapped")
def signs_swapped(z, labels, margin=1.0):
    d, pos, neg = _tables(z, labels)
    return _mean_hinge(_nearest(d, neg), _farthest(d, pos), margin, pos.any(1) & neg.any(1))


@wrong(E, "gradient of the hardest", ".item()")
def cut_graph(z, labels, margin=1.0):
    return _hardest(z.detach(), labels, margin)


# batch_all_sorted

E = "ch04.batch_all_sorted"


def _sorted(z, labels, margin, *, over="all", graph=True, itself=False, empty=1, shift=0, least=0):
    d, pos, neg = _tables(z, labels)
    pos = pos | _itself(z) if itself else pos
    values = d.masked_fill(~neg, torch.inf).sort(1).values
    sums = torch.nn.functional.pad(values.masked_fill(values.isinf(), 0).cumsum(1), (1, 0))
    t = (d if graph else d.detach()) + margin
    nearer = torch.searchsorted(values.detach(), t.detach())
    total = (nearer * t - sums.gather(1, (nearer + shift).clamp(min=least, max=len(z))))[pos].sum()
    n = {
        "all": (pos.sum(1) * neg.sum(1)).sum(),
        "active": nearer[pos].sum(),
        "anchors": (pos.any(1) & neg.any(1)).sum(),
    }[over]
    return total / n.clamp(min=empty)


@wrong(E, "mean over all triplets", "cost something")
def mean_of_active_triplets(z, labels, margin=1.0):
    return _sorted(z, labels, margin, over="active")


@wrong(E, "mean over all triplets", "anchors")
def mean_over_anchors(z, labels, margin=1.0):
    return _sorted(z, labels, margin, over="anchors")


@wrong(E, "mean over all triplets", "leave the diagonal out")
def anchor_among_its_positives(z, labels, margin=1.0):
    return _sorted(z, labels, margin, itself=True)


@wrong(E, "mean over all triplets", "off by one")
def prefix_sums_off_by_one(z, labels, margin=1.0):
    return _sorted(z, labels, margin, shift=1)


@wrong(E, "mean over all triplets", "not the first distance")
def no_empty_prefix(z, labels, margin=1.0):
    return _sorted(z, labels, margin, least=1)


@wrong(E, "mean over all triplets", "margin is missing")
def without_margin(z, labels, margin=1.0):
    return _sorted(z, labels, 0.0)


@wrong(E, "gradient of all triplets", "graph")
def thresholds_detached(z, labels, margin=1.0):
    return _sorted(z, labels, margin, graph=False)


@wrong(E, "memory of tables only", "B³")
def three_axes(z, labels, margin=1.0):
    d, pos, neg = _tables(z, labels)
    valid = pos[:, :, None] & neg[:, None]
    return ((d[:, :, None] - d[:, None] + margin).clamp(min=0) * valid).sum() / valid.sum().clamp(min=1)


@wrong(E, "no python loop", "loop")
def loop_over_the_anchors(z, labels, margin=1.0):
    d, pos, neg = _tables(z, labels)
    total = d.sum() * 0
    for a in range(len(z)):
        total = total + (d[a][pos[a]][:, None] - d[a][neg[a]][None] + margin).clamp(min=0).sum()
    return total / (pos.sum(1) * neg.sum(1)).sum().clamp(min=1)


@wrong(E, "one class only", "not NaN")
def divided_by_nothing(z, labels, margin=1.0):
    return _sorted(z, labels, margin, empty=0)
