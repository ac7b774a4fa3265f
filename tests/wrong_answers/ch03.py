import torch

from wrong_answers import wrong

# pairwise_distances

E = "ch03.pairwise_distances"


def _exact(x, y):
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


@wrong(E, "every distance", "root")
def squared_distances(x, y):
    return (x[:, None] - y[None]).square().sum(2)


@wrong(E, "every distance", "L1")
def l1_distances(x, y):
    return (x[:, None] - y[None]).abs().sum(2)


@wrong(E, "every distance", "axes are swapped")
def transposed(x, y):
    return _exact(y, x)


@wrong(E, "equal points", "branch")
def plain_root(x, y):
    return (x[:, None] - y[None]).square().sum(2).sqrt()


@wrong(E, "equal points", "branch")
def root_inside_where(x, y):
    squared = (x[:, None] - y[None]).square().sum(2)
    return torch.where(squared == 0, torch.zeros_like(squared), squared.sqrt())


@wrong(E, "equal points", "under the root")
def epsilon_under_the_root(x, y):
    return ((x[:, None] - y[None]).square().sum(2) + 1e-6).sqrt()


@wrong(E, "no python loop", "broadcasting")
def loop_over_rows(x, y):
    return torch.stack([torch.linalg.vector_norm(row - y, dim=1) for row in x])


@wrong(E, "near points far from the origin", "cancellation")
def expanded_square(x, y):
    squared = (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp(min=0)
    return squared.masked_fill(squared == 0, 1).sqrt().masked_fill(squared == 0, 0)


@wrong(E, "every distance", "wrong axis")
def sum_over_the_other_points(x, y):
    return (x[:, None] - y).square().sum(1).sqrt()


# one_shot

E = "ch03.one_shot"


@wrong(E, "label of the nearest", "positions")
def position_not_label(queries, support, support_labels):
    return torch.cdist(queries, support).argmin(1)


@wrong(E, "label of the nearest", "farthest")
def farthest(queries, support, support_labels):
    return support_labels[torch.cdist(queries, support).argmax(1)]


@wrong(E, "label of the nearest", "sort")
def labels_sorted(queries, support, support_labels):
    return support_labels.sort().values[torch.cdist(queries, support).argmin(1)]


@wrong(E, "several images of a class", "mean of the class")
def class_means(queries, support, support_labels):
    classes = support_labels.unique()
    means = torch.stack([support[support_labels == c].mean(0) for c in classes])
    return classes[torch.cdist(queries, means).argmin(1)]


@wrong(E, "distance not angle", "dot product")
def dot_product(queries, support, support_labels):
    return support_labels[(queries @ support.T).argmax(1)]


@wrong(E, "distance not angle", "angle")
def cosine(queries, support, support_labels):
    unit = torch.nn.functional.normalize
    return support_labels[(unit(queries) @ unit(support).T).argmax(1)]


@wrong(E, "label of the nearest", "wrong axis")
def nearest_query_of_each_support(queries, support, support_labels):
    return support_labels[torch.cdist(queries, support).argmin(0)]


@wrong(E, "distance not angle", "L1")
def nearest_by_l1(queries, support, support_labels):
    return support_labels[torch.cdist(queries, support, p=1).argmin(1)]


# contrastive_loss

E = "ch03.contrastive_loss"


def _parts(x1, x2, same):
    return torch.linalg.vector_norm(x1 - x2, dim=1), same.to(x1.dtype)


@wrong(E, "pairs of one class", "roles reversed")
def roles_reversed(x1, x2, same, margin=1.0):
    d, s = _parts(x1, x2, same)
    return ((1 - s) * d**2 / 2 + s * (margin - d).clamp(min=0) ** 2 / 2).mean()


@wrong(E, "pairs of one class", "½ is missing")
def without_half(x1, x2, same, margin=1.0):
    d, s = _parts(x1, x2, same)
    return (s * d**2 + (1 - s) * (margin - d).clamp(min=0) ** 2).mean()


@wrong(E, "pairs of one class", "mean")
def the_sum(x1, x2, same, margin=1.0):
    d, s = _parts(x1, x2, same)
    return (s * d**2 / 2 + (1 - s) * (margin - d).clamp(min=0) ** 2 / 2).sum()


@wrong(E, "pairs of one class", "squared")
def distance_not_squared(x1, x2, same, margin=1.0):
    d, s = _parts(x1, x2, same)
    return (s * d / 2 + (1 - s) * (margin - d).clamp(min=0) ** 2 / 2).mean()


@wrong(E, "pairs of two classes", "wrong place")
def square_inside_the_hinge(x1, x2, same, margin=1.0):
    d, s = _parts(x1, x2, same)
    return (s * d**2 / 2 + (1 - s) * (margin - d**2).clamp(min=0) / 2).mean()


@wrong(E, "pairs of two classes", "hinge is missing")
def without_hinge(x1, x2, same, margin=1.0):
    d, s = _parts(x1, x2, same)
    return (s * d**2 / 2 + (1 - s) * (margin - d) ** 2 / 2).mean()


@wrong(E, "pairs of two classes", "after the hinge")
def hinge_not_squared(x1, x2, same, margin=1.0):
    d, s = _parts(x1, x2, same)
    return (s * d**2 / 2 + (1 - s) * (margin - d).clamp(min=0) / 2).mean()


@wrong(E, "one mean over all pairs", "two means")
def two_means(x1, x2, same, margin=1.0):
    d, s = _parts(x1, x2, same)
    pull, push = s * d**2 / 2, (1 - s) * (margin - d).clamp(min=0) ** 2 / 2
    return pull.sum() / s.sum().clamp(min=1) + push.sum() / (1 - s).sum().clamp(min=1)


@wrong(E, "another margin", "argument")
def margin_fixed(x1, x2, same, margin=1.0):
    d, s = _parts(x1, x2, same)
    return (s * d**2 / 2 + (1 - s) * (1.0 - d).clamp(min=0) ** 2 / 2).mean()


@wrong(E, "equal embeddings", "infinite slope")
def root_of_a_sum(x1, x2, same, margin=1.0):
    d, s = (x1 - x2).square().sum(1).sqrt(), same.to(x1.dtype)
    return (s * d**2 / 2 + (1 - s) * (margin - d).clamp(min=0) ** 2 / 2).mean()


@wrong(E, "same as numbers", "Convert")
def indexing_with_same(x1, x2, same, margin=1.0):
    d = torch.linalg.vector_norm(x1 - x2, dim=1)
    return torch.cat([d[same] ** 2 / 2, (margin - d[~same]).clamp(min=0) ** 2 / 2]).mean()


@wrong(E, "pairs of one class", "mean over nothing")
def a_mean_for_each_kind(x1, x2, same, margin=1.0):
    d, same = torch.linalg.vector_norm(x1 - x2, dim=1), same.bool()
    return 0.5 * (d[same] ** 2).mean() + 0.5 * ((margin - d[~same]).clamp(min=0) ** 2).mean()


@wrong(E, "pairs of one class", "dim=1")
def one_norm_for_all_pairs(x1, x2, same, margin=1.0):
    d = torch.linalg.vector_norm(x1 - x2)
    return 0.5 * torch.where(same.bool(), d**2, (margin - d).clamp(min=0) ** 2).mean()


@wrong(E, "pairs of one class", "negate it by ~")
def one_minus_a_boolean(x1, x2, same, margin=1.0):
    d = torch.linalg.vector_norm(x1 - x2, dim=1)
    return 0.5 * (same * d**2 + (1 - same) * (margin - d).clamp(min=0) ** 2).mean()


@wrong(E, "pairs of one class", "clamp")
def pythons_max(x1, x2, same, margin=1.0):
    d = torch.linalg.vector_norm(x1 - x2, dim=1)
    return 0.5 * torch.where(same.bool(), d**2, max(0, margin - d) ** 2).mean()


# same_different_pairs

E = "ch03.same_different_pairs"


def _positives(labels, itself=False):
    same = labels[:, None] == labels[None]
    return (same if itself else same & ~torch.eye(len(labels), dtype=torch.bool)).nonzero()


def _pick(rows, n, generator):
    return rows[torch.randint(len(rows), (n,), generator=generator)]


def _negatives(labels):
    return (labels[:, None] != labels[None]).nonzero()


def _both(labels, positive, negative):
    first, second = torch.cat([positive, negative]).unbind(1)
    return first, second, labels[first] == labels[second]


@wrong(E, "same tells the truth", "any other item")
def second_half_of_any_class(labels, n, generator):
    positive = _pick(_positives(labels), n // 2, generator)
    first = torch.randint(len(labels), (n // 2,), generator=generator)
    second = (first + torch.randint(1, len(labels), (n // 2,), generator=generator)) % len(labels)
    pairs = torch.cat([positive, torch.stack([first, second], 1)])
    return pairs[:, 0], pairs[:, 1], torch.arange(n) < n // 2


@wrong(E, "half of one class", "balanced")
def chance_decides(labels, n, generator):
    first = torch.randint(len(labels), (n,), generator=generator)
    second = (first + torch.randint(1, len(labels), (n,), generator=generator)) % len(labels)
    return first, second, labels[first] == labels[second]


@wrong(E, "never with itself", "itself")
def with_itself(labels, n, generator):
    counts = (labels[:, None] == labels[None]).sum(1)
    rows = _positives(labels, itself=True)
    rows = rows[counts[rows[:, 0]] > 1]
    return _both(labels, _pick(rows, n // 2, generator), _pick(_negatives(labels), n // 2, generator))


@wrong(E, "the generator decides", "generator=generator")
def global_chance(labels, n, generator):
    return _both(labels, _pick(_positives(labels), n // 2, None), _pick(_negatives(labels), n // 2, None))


@wrong(E, "the generator decides", "seed is fixed")
def fixed_seed(labels, n, generator):
    generator = torch.Generator().manual_seed(0)
    return _both(labels, _pick(_positives(labels), n // 2, generator), _pick(_negatives(labels), n // 2, generator))


@wrong(E, "a class with one member", "single member")
def lone_item_with_itself(labels, n, generator):
    rows = _positives(labels)
    alone = ((labels[:, None] == labels[None]).sum(1) == 1).nonzero()
    rows = torch.cat([rows, alone.expand(-1, 2)])
    return _both(labels, _pick(rows, n // 2, generator), _pick(_negatives(labels), n // 2, generator))


@wrong(E, "every pair can come", "never come")
def next_of_the_class(labels, n, generator):
    rows = _positives(labels)
    first_of_each = torch.cat([torch.tensor([True]), rows[1:, 0] != rows[:-1, 0]])
    return _both(labels, _pick(rows[first_of_each], n // 2, generator), _pick(_negatives(labels), n // 2, generator))


@wrong(E, "same tells the truth", "positions in labels")
def labels_not_positions(labels, n, generator):
    first = torch.randint(len(labels), (n,), generator=generator)
    return labels[first], labels[first], torch.arange(n) < n // 2


# verification_auc

E = "ch03.verification_auc"


def _split(distances, same):
    return distances[same.bool()][:, None], distances[~same.bool()][None]


@wrong(E, "share of combinations won", "reversed")
def reversed_order(distances, same):
    near, far = _split(distances, same)
    return ((near > far) + 0.5 * (near == far)).mean()


@wrong(E, "share of combinations won", "divide")
def count_of_wins(distances, same):
    near, far = _split(distances, same)
    return ((near < far) + 0.5 * (near == far)).sum()


@wrong(E, "share of combinations won", "accuracy")
def best_accuracy(distances, same):
    return max(((distances < t) == same.bool()).double().mean() for t in distances)


@wrong(E, "ties count half", "tie counts ½, not 0")
def ties_lost(distances, same):
    near, far = _split(distances, same)
    return (near < far).double().mean()


@wrong(E, "ties count half", "tie counts ½, not 1")
def ties_won(distances, same):
    near, far = _split(distances, same)
    return (near <= far).double().mean()


@wrong(E, "only the order matters", "thresholds")
def fixed_thresholds(distances, same):
    near, far = _split(distances, same)
    t = torch.linspace(-0.005, 1.005, 102, dtype=torch.float64)
    return torch.trapezoid((near < t).double().mean(0), (t > far.T).double().mean(0))


@wrong(E, "share of combinations won", "all combinations")
def i_th_with_i_th(distances, same):
    return (distances[same] < distances[~same]).double().mean()


# contrastive_gradient

E = "ch03.contrastive_gradient"


def _gradient(x1, x2, same, margin, pull=1.0, push=1.0, unit=True, hinge=True, over=None, tiny=1e-12):
    delta = x1 - x2
    d = torch.linalg.vector_norm(delta, dim=1, keepdim=True)
    force = (margin - d).clamp(min=0) if hinge else margin - d
    force = force / d.clamp(min=tiny) if unit else force
    return torch.where(same[:, None], pull, -push * force) * delta / (over or len(x1))


@wrong(E, "pull of one class", "1/N")
def without_mean(x1, x2, same, margin=1.0):
    return _gradient(x1, x2, same, margin, over=1)


@wrong(E, "pull of one class", "factor 2")
def twice_the_pull(x1, x2, same, margin=1.0):
    return _gradient(x1, x2, same, margin, pull=2.0)


@wrong(E, "pull of one class", "sign")
def pull_downhill(x1, x2, same, margin=1.0):
    return _gradient(x1, x2, same, margin, pull=-1.0)


@wrong(E, "push inside the margin", "unit vector")
def push_without_direction(x1, x2, same, margin=1.0):
    return _gradient(x1, x2, same, margin, unit=False)


@wrong(E, "push inside the margin", "sign")
def push_together(x1, x2, same, margin=1.0):
    return _gradient(x1, x2, same, margin, push=-1.0)


@wrong(E, "nothing beyond the margin", "hinge")
def push_everywhere(x1, x2, same, margin=1.0):
    return _gradient(x1, x2, same, margin, hinge=False)


@wrong(E, "equal embeddings of two classes", "NaN")
def zero_by_zero(x1, x2, same, margin=1.0):
    return _gradient(x1, x2, same, margin, tiny=0.0)


@wrong(E, "without autograd", "autograd")
def by_autograd(x1, x2, same, margin=1.0):
    x1 = x1.clone().requires_grad_()
    d = torch.linalg.vector_norm(x1 - x2, dim=1)
    loss = torch.where(same, d**2, (margin - d).clamp(min=0) ** 2).mean() / 2
    return torch.autograd.grad(loss, x1)[0]


@wrong(E, "pull of one class", "no unit vector")
def pull_of_unit_strength(x1, x2, same, margin=1.0):
    return torch.nn.functional.normalize(x1 - x2) / len(x1)


@wrong(E, "pull of one class", "keepdim")
def rows_times_a_vector(x1, x2, same, margin=1.0):
    return same.double() * (x1 - x2) / len(x1)
