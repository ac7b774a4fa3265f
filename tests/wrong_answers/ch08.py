import math

import torch
from torch.nn.functional import cross_entropy, normalize

from wrong_answers import wrong

# two_views

E = "ch08.two_views"


def _each(images):
    return 2, len(images), 1, 1, 1


def _mirrored(draws, generator, probability=0.5):
    return torch.rand(draws, generator=generator) < probability


def _factor(draws, strength, generator):
    return 1 + strength * (2 * torch.rand(draws, generator=generator) - 1)


def _made(images, mirrored, factor, axis=-1):
    views = images.expand(2, *images.shape)
    return (torch.where(mirrored, views.flip(axis), views) * factor).clamp(0, 1)


@wrong(E, "each view is made of its image", "top to bottom")
def upside_down(images, strength, generator):
    d = _each(images)
    return _made(images, _mirrored(d, generator), _factor(d, strength, generator), axis=-2)


@wrong(E, "each view is made of its image", "another image")
def batch_reversed(images, strength, generator):
    d = _each(images)
    return _made(images, _mirrored(d, generator), _factor(d, strength, generator), axis=1)


@wrong(E, "each view is made of its image", "channels are reversed")
def channels_reversed(images, strength, generator):
    d = _each(images)
    return _made(images, _mirrored(d, generator), _factor(d, strength, generator), axis=2)


@wrong(E, "each view is made of its image", "one factor for the whole image")
def factor_of_each_pixel(images, strength, generator):
    return _made(images, _mirrored(_each(images), generator), _factor((2, *images.shape), strength, generator))


@wrong(E, "each view is made of its image", "added")
def brightness_added(images, strength, generator):
    d = _each(images)
    views = images.expand(2, *images.shape)
    views = torch.where(_mirrored(d, generator), views.flip(-1), views)
    return (views + _factor(d, strength / 10, generator) - 1).clamp(0, 1)


@wrong(E, "each view is made of its image", "never lies beyond")
def normal_factor(images, strength, generator):
    d = _each(images)
    return _made(images, _mirrored(d, generator), 1 + strength * torch.randn(d, generator=generator))


@wrong(E, "each view is made of its image", "new first axis")
def views_beside_each_other(images, strength, generator):
    d = _each(images)
    doubled = torch.stack([images, images], 1).view(2, *images.shape)  # 0, 0, 1, 1, ... cut in halves
    views = torch.where(_mirrored(d, generator), doubled.flip(-1), doubled)
    return (views * _factor(d, strength, generator)).clamp(0, 1)


@wrong(E, "each image has its own draw", "whole batch")
def one_draw_for_the_batch(images, strength, generator):
    d = (2, 1, 1, 1, 1)
    return _made(images, _mirrored(d, generator), _factor(d, strength, generator))


@wrong(E, "each image has its own draw", "whole batch")
def one_factor_for_the_batch(images, strength, generator):
    return _made(images, _mirrored(_each(images), generator), _factor((2, 1, 1, 1, 1), strength, generator))


@wrong(E, "each image has its own draw", "neither is the image itself")
def first_view_is_the_image(images, strength, generator):
    d = _each(images)
    views = _made(images, _mirrored(d, generator), _factor(d, strength, generator))
    views[0] = images
    return views


@wrong(E, "each view has its own draw", "both views share")
def both_views_equal(images, strength, generator):
    d = (1, len(images), 1, 1, 1)
    return _made(images, _mirrored(d, generator), _factor(d, strength, generator))


@wrong(E, "each view has its own draw", "both views share")
def one_view_always_mirrored(images, strength, generator):
    d = _each(images)
    mirrored = _mirrored((1, *d[1:]), generator)
    return _made(images, torch.cat([mirrored, ~mirrored]), _factor(d, strength, generator))


@wrong(E, "how often and how far", "one side only")
def only_brighter(images, strength, generator):
    d = _each(images)
    return _made(images, _mirrored(d, generator), 1 + strength * torch.rand(d, generator=generator))


@wrong(E, "how often and how far", "probability ½")
def seldom_mirrored(images, strength, generator):
    d = _each(images)
    return _made(images, _mirrored(d, generator, 0.2), _factor(d, strength, generator))


@wrong(E, "how often and how far", "share a draw")
def mirrored_and_bright_by_one_draw(images, strength, generator):
    draw = torch.rand(_each(images), generator=generator)
    return _made(images, draw < 0.5, 1 + strength * (2 * draw - 1))


@wrong(E, "values stay in the range", "clamp")
def without_clamp(images, strength, generator):
    d = _each(images)
    views = images.expand(2, *images.shape)
    return torch.where(_mirrored(d, generator), views.flip(-1), views) * _factor(d, strength, generator)


@wrong(E, "values stay in the range", "keep their factor")
def divided_by_the_maximum(images, strength, generator):
    views = without_clamp(images, strength, generator)
    return views / views.amax((2, 3, 4), keepdim=True).clamp(min=1)


@wrong(E, "the generator decides", "generator=generator")
def mirrored_by_global_chance(images, strength, generator):
    d = _each(images)
    return _made(images, _mirrored(d, None), _factor(d, strength, generator))


@wrong(E, "images stay as they are", "write into them")
def written_into_the_images(images, strength, generator):
    views = []
    for _ in range(2):
        mirrored = torch.rand(len(images), generator=generator) < 0.5
        images[mirrored] = images[mirrored].flip(3)
        views.append((images * _factor((len(images), 1, 1, 1), strength, generator)).clamp(0, 1))
    return torch.stack(views)


# momentum_update

E = "ch08.momentum_update"


def _updated(key, query, momentum):
    with torch.no_grad():
        return {
            n: momentum * k + (1 - momentum) * query[n] if k.is_floating_point() else query[n].clone()
            for n, k in key.items()
        }


@wrong(E, "a step toward the query encoder", "swapped")
def momentum_swapped(key, query, momentum):
    return _updated(key, query, 1 - momentum)


@wrong(E, "a step toward the query encoder", "only moves toward it")
def copied(key, query, momentum):
    return {n: q.detach().clone() for n, q in query.items()}


@wrong(E, "a step toward the query encoder", "an argument")
def momentum_fixed(key, query, momentum):
    return _updated(key, query, 0.999)


@wrong(E, "a step toward the query encoder", "no average")
def query_added_whole(key, query, momentum):
    updated = {n: momentum * k.detach() + query[n].detach() for n, k in key.items()}
    return updated | {n: q.clone() for n, q in query.items() if not q.is_floating_point()}


@wrong(E, "a step toward the query encoder", "moves away")
def away_from_the_query(key, query, momentum):
    with torch.no_grad():
        return {
            n: k - (1 - momentum) * (query[n] - k) if k.is_floating_point() else query[n].clone()
            for n, k in key.items()
        }


@wrong(E, "whole numbers are copied", "copied")
def whole_numbers_averaged(key, query, momentum):
    with torch.no_grad():
        return {n: momentum * k + (1 - momentum) * query[n] for n, k in key.items()}


@wrong(E, "whole numbers are copied", "that of the key encoder")
def whole_numbers_kept(key, query, momentum):
    return {n: t if t.is_floating_point() else key[n].clone() for n, t in _updated(key, query, momentum).items()}


@wrong(E, "whole numbers are copied", "no copy")
def whole_numbers_not_cloned(key, query, momentum):
    return {n: t if t.is_floating_point() else query[n].detach() for n, t in _updated(key, query, momentum).items()}


@wrong(E, "no gradient", "not trained")
def gradient_kept(key, query, momentum):
    return {
        n: momentum * k + (1 - momentum) * query[n] if k.is_floating_point() else query[n].clone()
        for n, k in key.items()
    }


@wrong(E, "both encoders stay as they are", "in place")
def changed_in_place(key, query, momentum):
    result = {n: k.detach() for n, k in key.items()}  # shares the memory of the key encoder
    for n, k in result.items():
        if k.is_floating_point():
            k.mul_(momentum).add_(query[n].detach(), alpha=1 - momentum)
        else:
            k.copy_(query[n])
    return result


@wrong(E, "both encoders stay as they are", "in place")
def query_changed_instead(key, query, momentum):
    result = {}
    for n, q in query.items():
        result[n] = q.detach().lerp_(key[n].detach(), momentum) if q.is_floating_point() else q.clone()
    return result


# crop_boxes

E = "ch08.crop_boxes"
AREA, RATIO = (0.2, 1.0), (3 / 4, 4 / 3)


def _rand(n, generator, low=0.0, high=1.0):
    return low + (high - low) * torch.rand(n, generator=generator)


def _aspect(n, generator, ratio):
    return _rand(n, generator, math.log(ratio[0]), math.log(ratio[1])).exp()


def _sides(size, share, aspect):
    return size * (share / aspect).sqrt().clamp(max=1), size * (share * aspect).sqrt().clamp(max=1)


def _placed(height, width, size, generator):
    n = len(height)
    top, left = _rand(n, generator) * (size - height), _rand(n, generator) * (size - width)
    return torch.stack([top, left, height, width], 1)


def _drawn(n, size, generator, area, ratio):
    return _sides(size, _rand(n, generator, *area), _aspect(n, generator, ratio))


@wrong(E, "areas", "side is uniform")
def uniform_sides(n, size, generator, area=AREA, ratio=RATIO):
    share = _rand(n, generator, area[0] ** 0.5, area[1] ** 0.5) ** 2
    return _placed(*_sides(size, share, _aspect(n, generator, ratio)), size, generator)


@wrong(E, "areas", "side is its root")
def area_as_side(n, size, generator, area=AREA, ratio=RATIO):
    share = _rand(n, generator, *area) ** 2
    return _placed(*_sides(size, share, _aspect(n, generator, ratio)), size, generator)


@wrong(E, "areas", "each has its own draw")
def one_box_for_all(n, size, generator, area=AREA, ratio=RATIO):
    return _placed(*_drawn(1, size, generator, area, ratio), size, generator).expand(n, 4)


@wrong(E, "areas", "rounded")
def rounded_to_pixels(n, size, generator, area=AREA, ratio=RATIO):
    return _placed(*(s.round() for s in _drawn(n, size, generator, area, ratio)), size, generator)


@wrong(E, "ratios", "logarithm should be")
def uniform_ratio(n, size, generator, area=AREA, ratio=RATIO):
    sides = _sides(size, _rand(n, generator, *area), _rand(n, generator, *ratio))
    return _placed(*sides, size, generator)


@wrong(E, "ratios", "swapped")
def height_over_width(n, size, generator, area=AREA, ratio=RATIO):
    height, width = _drawn(n, size, generator, area, ratio)
    return _placed(width, height, size, generator)


@wrong(E, "ratios", "square of the ratio")
def ratio_squared(n, size, generator, area=AREA, ratio=RATIO):
    sides = _sides(size, _rand(n, generator, *area), _aspect(n, generator, ratio) ** 2)
    return _placed(*sides, size, generator)


@wrong(E, "ratios", "share a draw")
def area_and_ratio_by_one_draw(n, size, generator, area=AREA, ratio=RATIO):
    draw = _rand(n, generator)
    share = area[0] + (area[1] - area[0]) * draw
    return _placed(*_sides(size, share, ratio[0] * (ratio[1] / ratio[0]) ** draw), size, generator)


@wrong(E, "places", "one place")
def central_boxes(n, size, generator, area=AREA, ratio=RATIO):
    height, width = _drawn(n, size, generator, area, ratio)
    return torch.stack([(size - height) / 2, (size - width) / 2, height, width], 1)


@wrong(E, "places", "pile up")
def pushed_inside(n, size, generator, area=AREA, ratio=RATIO):
    height, width = _drawn(n, size, generator, area, ratio)
    top, left = (torch.minimum(_rand(n, generator) * size, size - side) for side in (height, width))
    return torch.stack([top, left, height, width], 1)


@wrong(E, "places", "share a draw")
def along_the_diagonal(n, size, generator, area=AREA, ratio=RATIO):
    height, width = _drawn(n, size, generator, area, ratio)
    place = _rand(n, generator)
    return torch.stack([place * (size - height), place * (size - width), height, width], 1)


@wrong(E, "boxes lie inside", "cut to it")
def sides_not_cut(n, size, generator, area=AREA, ratio=RATIO):
    share, aspect = _rand(n, generator, *area), _aspect(n, generator, ratio)
    return _placed(size * (share / aspect).sqrt(), size * (share * aspect).sqrt(), size, generator)


@wrong(E, "boxes lie inside", "only the side that is too long")
def shrunk_to_fit(n, size, generator, area=AREA, ratio=RATIO):
    share, aspect = _rand(n, generator, *area), _aspect(n, generator, ratio)
    height, width = (share / aspect).sqrt(), (share * aspect).sqrt()
    longer = torch.maximum(height, width).clamp(min=1)
    return _placed(size * height / longer, size * width / longer, size, generator)


@wrong(E, "the generator draws the boxes", "generator=generator")
def places_by_global_chance(n, size, generator, area=AREA, ratio=RATIO):
    return _placed(*_drawn(n, size, generator, area, ratio), size, None)


@wrong(E, "the generator draws the boxes", "seed is fixed")
def boxes_of_a_fixed_seed(n, size, generator, area=AREA, ratio=RATIO):
    generator = torch.Generator().manual_seed(0)
    return _placed(*_drawn(n, size, generator, area, ratio), size, generator)


# nt_xent

E = "ch08.nt_xent"


def _logits(z1, z2, temperature, fill=-torch.inf):
    z = normalize(torch.cat([z1, z2]), dim=1)
    return (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), fill)


def _partner(n):
    return torch.arange(2 * n).roll(n)


def _crossed(z1, z2, temperature):
    return cross_entropy(_logits(z1, z2, temperature), _partner(len(z1)))


@wrong(E, "loss of a batch", "view itself is in the sum")
def with_itself(z1, z2, temperature=0.5):
    z = normalize(torch.cat([z1, z2]), dim=1)
    return cross_entropy(z @ z.T / temperature, _partner(len(z1)))


@wrong(E, "loss of a batch", "exp(0) = 1")
def diagonal_of_zeros(z1, z2, temperature=0.5):
    return cross_entropy(_logits(z1, z2, temperature, fill=0.0), _partner(len(z1)))


@wrong(E, "loss of a batch", "counted twice")
def partner_twice(z1, z2, temperature=0.5):
    logits = _logits(z1, z2, temperature)
    own = logits.gather(1, _partner(len(z1))[:, None])
    return cross_entropy(torch.cat([own, logits], 1), torch.zeros(len(logits), dtype=torch.long))


@wrong(E, "loss of a batch", "partner is missing")
def decoupled(z1, z2, temperature=0.5):
    logits = _logits(z1, z2, temperature)
    partner = _partner(len(z1))[:, None]
    others = logits.scatter(1, partner, -torch.inf)
    return (others.logsumexp(1) - logits.gather(1, partner)[:, 0]).mean()


@wrong(E, "loss of a batch", "same side")
def across_the_views_only(z1, z2, temperature=0.5):
    logits = normalize(z1, dim=1) @ normalize(z2, dim=1).T / temperature
    rows = torch.arange(len(z1))
    return (cross_entropy(logits, rows) + cross_entropy(logits.T, rows)) / 2


@wrong(E, "loss of a batch", "only the first views ask")
def one_direction(z1, z2, temperature=0.5):
    n = len(z1)
    return cross_entropy(_logits(z1, z2, temperature)[:n], _partner(n)[:n])


@wrong(E, "loss of a batch", "dot products")
def dot_products(z1, z2, temperature=0.5):
    z = torch.cat([z1, z2])
    logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    return cross_entropy(logits, _partner(len(z1)))


@wrong(E, "loss of a batch", "wrong axis")
def normalised_columns(z1, z2, temperature=0.5):
    z = normalize(torch.cat([z1, z2]), dim=0)
    return cross_entropy((z @ z.T / temperature).fill_diagonal_(-torch.inf), _partner(len(z1)))


@wrong(E, "loss of a batch", "multiplies")
def temperature_multiplies(z1, z2, temperature=0.5):
    return _crossed(z1, z2, 1 / temperature)


@wrong(E, "loss of a batch", "an argument")
def temperature_fixed(z1, z2, temperature=0.5):
    return _crossed(z1, z2, 0.5)


@wrong(E, "loss of a batch", "sum")
def the_sum(z1, z2, temperature=0.5):
    return cross_entropy(_logits(z1, z2, temperature), _partner(len(z1)), reduction="sum")


@wrong(E, "loss of a batch", "divided by N")
def divided_by_the_images(z1, z2, temperature=0.5):
    return 2 * _crossed(z1, z2, temperature)


@wrong(E, "loss of a batch", "neighbour")
def neighbours_are_partners(z1, z2, temperature=0.5):
    return cross_entropy(_logits(z1, z2, temperature), torch.arange(2 * len(z1)) ^ 1)


@wrong(E, "a small temperature", "overflows")
def plain_exponentials(z1, z2, temperature=0.5):
    e = _logits(z1, z2, temperature).exp()
    return -(e.gather(1, _partner(len(z1))[:, None])[:, 0] / e.sum(1)).log().mean()


@wrong(E, "gradient of both views", "none of them is detached")
def second_views_detached(z1, z2, temperature=0.5):
    return _crossed(z1, z2.detach(), temperature)


@wrong(E, "gradient of both views", "lengths are detached")
def lengths_detached(z1, z2, temperature=0.5):
    z = torch.cat([z1, z2])
    z = z / z.norm(dim=1, keepdim=True).detach()
    return cross_entropy((z @ z.T / temperature).fill_diagonal_(-torch.inf), _partner(len(z1)))


@wrong(E, "no python loop", "loop")
def loop_over_the_views(z1, z2, temperature=0.5):
    logits, partner = _logits(z1, z2, temperature), _partner(len(z1))
    return torch.stack([row.logsumexp(0) - row[p] for row, p in zip(logits, partner, strict=True)]).mean()


# enqueue

E = "ch08.enqueue"


def _rows(queue, position, keys):
    return (position + torch.arange(len(keys))) % len(queue)


def _next(queue, position, keys):
    return (position + len(keys)) % len(queue)


@wrong(E, "keys replace the oldest", "shifted")
def shifted(queue, position, keys):
    return torch.cat([queue, keys.detach()])[len(keys) :], _next(queue, position, keys)


@wrong(E, "keys replace the oldest", "last ones dropped")
def put_in_front(queue, position, keys):
    return torch.cat([keys.detach(), queue])[: len(queue)], _next(queue, position, keys)


@wrong(E, "keys replace the oldest", "reverse order")
def in_reverse_order(queue, position, keys):
    return queue.index_copy(0, _rows(queue, position, keys), keys.detach().flip(0)), _next(queue, position, keys)


@wrong(E, "keys replace the oldest", "begin at position")
def always_the_first_rows(queue, position, keys):
    return queue.index_copy(0, _rows(queue, 0, keys), keys.detach()), _next(queue, position, keys)


@wrong(E, "keys replace the oldest", "queue grew")
def grows(queue, position, keys):
    return torch.cat([queue, keys.detach()]), _next(queue, position, keys)


@wrong(E, "keys replace the oldest", "is lost")
def written_into_a_copy(queue, position, keys):
    rows = _rows(queue, position, keys)
    queue[rows].copy_(keys)
    return queue.clone(), _next(queue, position, keys)


@wrong(E, "keys replace the oldest", "keys alone")
def as_if_always_round_the_end(queue, position, keys):
    over, keys = position + len(keys) - len(queue), keys.detach()
    fits = len(keys) - over
    return torch.cat([keys[fits:], queue[over:position], keys[:fits]]), _next(queue, position, keys)


@wrong(E, "where the next keys go", "did not move")
def position_stays(queue, position, keys):
    return queue.index_copy(0, _rows(queue, position, keys), keys.detach()), position


@wrong(E, "where the next keys go", "not by one")
def position_moves_by_one(queue, position, keys):
    return queue.index_copy(0, _rows(queue, position, keys), keys.detach()), (position + 1) % len(queue)


@wrong(E, "where the next keys go", "left the queue")
def position_leaves_the_queue(queue, position, keys):
    return queue.index_copy(0, _rows(queue, position, keys), keys.detach()), position + len(keys)


@wrong(E, "round the end", "round the end")
def slice_without_a_turn(queue, position, keys):
    queue = queue.clone()
    queue[position : position + len(keys)] = keys.detach()
    return queue, _next(queue, position, keys)


@wrong(E, "round the end", "after the last row")
def keys_cut_at_the_end(queue, position, keys):
    queue, n = queue.clone(), len(queue) - position
    queue[position : position + len(keys)] = keys.detach()[:n]
    return queue, _next(queue, position, keys)


@wrong(E, "round the end", "first of those that are left")
def begins_again_with_the_first_key(queue, position, keys):
    queue, first = queue.clone(), min(len(keys), len(queue) - position)
    queue[position : position + first] = keys[:first].detach()
    queue[: len(keys) - first] = keys[: len(keys) - first].detach()
    return queue, _next(queue, position, keys)


@wrong(E, "keys enter without gradient", "detach")
def gradient_in_the_queue(queue, position, keys):
    return queue.index_copy(0, _rows(queue, position, keys), keys), _next(queue, position, keys)


@wrong(E, "the old queue stays", "clone")
def written_in_place(queue, position, keys):
    queue[_rows(queue, position, keys)] = keys.detach()
    return queue, _next(queue, position, keys)


# info_nce

E = "ch08.info_nce"


def _all_logits(query, key, queue, temperature):
    return torch.cat([(query * key.detach()).sum(1, keepdim=True), query @ queue.detach().T], 1) / temperature


def _first(logits):
    return cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))


@wrong(E, "one key among the queue", "key is missing")
def key_not_in_the_sum(query, key, queue, temperature=0.07):
    logits = _all_logits(query, key, queue, temperature)
    return (logits[:, 1:].logsumexp(1) - logits[:, 0]).mean()


@wrong(E, "one key among the queue", "other images of the batch")
def batch_among_the_negatives(query, key, queue, temperature=0.07):
    logits = query @ torch.cat([key, queue]).detach().T / temperature
    return cross_entropy(logits, torch.arange(len(query)))


@wrong(E, "one key among the queue", "queue is not used")
def without_the_queue(query, key, queue, temperature=0.07):
    return cross_entropy(query @ key.detach().T / temperature, torch.arange(len(query)))


@wrong(E, "one key among the queue", "wrong column")
def key_in_the_last_column(query, key, queue, temperature=0.07):
    return _first(_all_logits(query, key, queue, temperature).roll(-1, 1))


@wrong(E, "one key among the queue", "multiplies")
def multiplied_by_the_temperature(query, key, queue, temperature=0.07):
    return _first(_all_logits(query, key, queue, 1 / temperature))


@wrong(E, "one key among the queue", "an argument")
def one_temperature(query, key, queue, temperature=0.07):
    return _first(_all_logits(query, key, queue, 0.07))


@wrong(E, "one key among the queue", "sum")
def sum_over_the_queries(query, key, queue, temperature=0.07):
    return len(query) * _first(_all_logits(query, key, queue, temperature))


@wrong(E, "a very small temperature", "overflows")
def fraction_of_exponentials(query, key, queue, temperature=0.07):
    e = _all_logits(query, key, queue, temperature).exp()
    return -(e[:, 0] / e.sum(1)).log().mean()


@wrong(E, "the query learns alone", "detached")
def nothing_detached(query, key, queue, temperature=0.07):
    return _first(torch.cat([(query * key).sum(1, keepdim=True), query @ queue.T], 1) / temperature)


@wrong(E, "a very small temperature", "graph is cut")
def query_detached(query, key, queue, temperature=0.07):
    return _first(torch.cat([(query.detach() * key).sum(1, keepdim=True), query.detach() @ queue.T], 1) / temperature)


@wrong(E, "no loop over queries", "loop")
def loop_over_the_queries(query, key, queue, temperature=0.07):
    costs = []
    for q, k in zip(query, key.detach(), strict=True):
        logits = torch.cat([(q @ k)[None], queue.detach() @ q]) / temperature
        costs.append(logits.logsumexp(0) - logits[0])
    return torch.stack(costs).mean()
