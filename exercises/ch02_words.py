# %% [markdown]
# # Exercises of chapter 2: Words
#
# A word vector is learned from the words that stand around the word. Here you write, from strings and tensor
# operations, the parts that word2vec and fastText are made of: which words of the text are kept, which pairs are
# learned from, the pieces of a word, the loss and its gradient, and how word vectors are judged. Seven exercises,
# from easy to hard; each stands on its own.
#
# The letters: $v$ is the input vector of a centre word, $u$ the output vector of a word of its context, $d$ their
# dimension, $K$ the number of negatives of a pair, and $\sigma(s) = 1 / (1 + e^{-s})$ the logistic function.
#
# Replace each `raise NotImplementedError("not done yet")` by your answer. The `check(...)` line below a function
# says whether it is right and, if not, why. In an editor, `replearn watch` checks at each save, and
# `replearn hint keep_probability` gives a first hint; in a notebook the hints unfold below each question.

# %%
import torch
from torch import Tensor

from replearn_course.checks import check

# %% [markdown]
# ## 1. `keep_probability` (easy)
#
# "The" stands beside almost every noun and says little about any of them. So word2vec drops words from the text at
# random before it learns, and the more frequent a word is, the more often. A word that was counted $c_i$ times has the
# frequency $f_i = c_i / \sum_j c_j$, and each of its occurrences is kept with the probability
#
# $$p_i = \min\left(1,\ \sqrt{t / f_i} + t / f_i\right),$$
#
# where $t$ (`sample`) is a small threshold. Words with $f \le t$ are always kept, and some above it too.
#
# The formula is that of the program word2vec.c, which gensim follows. The paper (Mikolov et al. 2013, *Distributed
# Representations of Words and Phrases and their Compositionality*, section 2.3) prints $\sqrt{t / f_i}$ alone.
#
# A tiny case: the counts 90, 9 and 1 are the frequencies 0.9, 0.09 and 0.01. With $t = 0.01$ the ratios $t / f$ are
# $1/90$, $1/9$ and 1, and the probabilities 0.1165, $1/3 + 1/9 = 0.4444$ and $\min(1, 2) = 1$.


# %%
def keep_probability(counts: Tensor, sample: float) -> Tensor:
    """Probability that an occurrence of a word stays in the text, as word2vec.c has it.

    Args:
        counts: how often each word occurs ``(V,)``, integers above 0.
        sample: threshold on the frequency, ``t`` in the formula.

    Returns:
        probabilities ``(V,)``, floating point.

    >>> keep_probability(torch.tensor([90, 9, 1]), sample=0.01)
    tensor([0.1165, 0.4444, 1.0000])
    """
    raise NotImplementedError("not done yet")


# %%
check("ch02.keep_probability", keep_probability)

# %% [markdown]
# ## 2. `character_ngrams` (easy)
#
# What can be known of a word that was seen only once? Its pieces were seen in other words. fastText gives a vector to
# each **character n-gram**, a run of $n$ letters. The word is first put between the signs `<` and `>`, so that the ending
# `ing>` of `<seeing>` is told from the letters in the middle of `<singer>`.
#
# List all n-grams of `<word>` of the lengths `least` to `most` (both included):
#
# - the shortest first, and those of one length from left to right;
# - an n-gram that occurs twice is listed twice;
# - the whole `<word>` is left out, however short: it stands for the word itself, which has a row of its own beside
#   those of its n-grams (Bojanowski et al. 2017, *Enriching Word Vectors with Subword Information*, section 3.2; the
#   authors' program also lists it among the n-grams of a short word);
# - letters are whatever Python calls characters, of any alphabet.
#
# A tiny case: `cat` becomes `<cat>`, of 5 characters. Its n-grams of length 3 are `<ca`, `cat`, `at>`, those of
# length 4 are `<cat`, `cat>`, and the one of length 5 is `<cat>` itself, left out.


# %%
def character_ngrams(word: str, least: int = 3, most: int = 6) -> list[str]:
    """Character n-grams of a word between its boundary signs, without the whole.

    Args:
        word: the word, without the signs.
        least: shortest length, signs counted; at least 2.
        most: longest length.

    Returns:
        the n-grams, by length and then by position; empty for a word that is too short.

    >>> character_ngrams("cat")
    ['<ca', 'cat', 'at>', '<cat', 'cat>']
    """
    raise NotImplementedError("not done yet")


# %%
check("ch02.character_ngrams", character_ngrams)

# %% [markdown]
# ## 3. `skipgram_pairs` (medium)
#
# A text is a row of word numbers `ids`. Skip-gram learns from pairs (centre, context): each word of the text is once
# the centre, and its context is what stands near it. How near, word2vec draws anew for each centre: the word at
# position $i$ sees the positions
#
# $$\{\, j : 0 < |i - j| \le w_i,\ 0 \le j < T \,\},$$
#
# with its own half width $w_i$ (`widths`), here already drawn. List all pairs of word numbers, by the position of the
# centre and then by the position of the context, without a Python loop over positions.
#
# A word may stand near another occurrence of itself: that is a pair like any other. Only the position of the centre
# itself is left out. A text of one word has no pair: the result has the shape (0, 2).
#
# A tiny case: the text 7, 3, 9 with the half widths 2, 1, 1. The centre 7 sees 3 and 9, the centre 3 sees 7 and 9, and
# the centre 9 sees 3 only. The pairs are (7, 3), (7, 9), (3, 7), (3, 9), (9, 3).


# %%
def skipgram_pairs(ids: Tensor, widths: Tensor) -> Tensor:
    """All pairs (centre, context) of a text, each centre with its own window.

    Args:
        ids: word numbers of the text ``(T,)``.
        widths: half width of the window of each centre ``(T,)``, at least 1.

    Returns:
        word numbers ``(M, 2)``, centres in the first column, by position of the centre, then of the context.

    >>> skipgram_pairs(torch.tensor([7, 3, 9]), torch.tensor([2, 1, 1])).tolist()
    [[7, 3], [7, 9], [3, 7], [3, 9], [9, 3]]
    """
    raise NotImplementedError("not done yet")


# %%
check("ch02.skipgram_pairs", skipgram_pairs)

# %% [markdown]
# ## 4. `unseen_vector` (medium)
#
# word2vec has nothing to say about a word that its text did not hold. fastText has: it makes a vector from the rows of
# the word's n-grams. Let $G$ be the list of those n-grams of `<word>`, of the lengths `least` to `most`, that have a row
# $r_g$; an n-gram that occurs twice stands twice in it. Then
#
# $$v = \frac{1}{|G|} \sum_{g \in G} r_g,$$
#
# and $v = 0$ where none has a row. This mean is what fastText's program and gensim do; the paper (Bojanowski et al.
# 2017, section 3.2) writes a sum. The whole `<word>` needs no care here: only the word itself contains it, and that was
# never seen.
#
# A tiny case: the rows are $(2, 0)$ for `<ca`, $(0, 4)$ for `ap>` and $(9, 9)$ for `dog`. Of `<cap>` the n-grams `<ca`
# and `ap>` have a row, so the vector of `cap` is $(1, 2)$.


# %%
def unseen_vector(word: str, rows: dict[str, Tensor], least: int = 3, most: int = 6) -> Tensor:
    """Vector of a word that was never seen: the mean over its n-grams that have a row.

    Args:
        word: the word, without the boundary signs.
        rows: the vector ``(d,)`` of each n-gram that was seen; at least one. They are left as they are.
        least: shortest length of an n-gram, signs counted; at least 2.
        most: longest length.

    Returns:
        the vector ``(d,)``; 0 where no n-gram has a row.

    >>> rows = {"<ca": torch.tensor([2.0, 0.0]), "ap>": torch.tensor([0.0, 4.0]), "dog": torch.tensor([9.0, 9.0])}
    >>> unseen_vector("cap", rows)
    tensor([1., 2.])
    """
    raise NotImplementedError("not done yet")


# %%
check("ch02.unseen_vector", unseen_vector)

# %% [markdown]
# ## 5. `negative_sampling_loss` (medium)
#
# A softmax over a vocabulary of $V$ words costs $V$ dot products for each pair. Negative sampling asks a smaller
# question: is this the word that stood there, or one of $K$ words drawn at random? A pair with the centre's vector $v$,
# the vector $u$ of its true context and the vectors $n_1, \dots, n_K$ of the drawn words (output vectors like $u$) costs
#
# $$\ell = -\log \sigma(u^\top v) - \sum_{k=1}^{K} \log \sigma(-n_k^\top v),$$
#
# and the loss of a batch is the mean of $\ell$ over its $B$ pairs (Mikolov et al. 2013, *Distributed Representations of
# Words and Phrases and their Compositionality*, equation 4, which states what is maximised: $-\ell$).
#
# One thing is asked beyond the formula. A score of $-1000$ must cost 1000, and its gradient be finite, in float32 too,
# although $\sigma(-1000)$ is 0 there and $\log 0 = -\infty$.
#
# A tiny case: a pair with $u^\top v = 2$ and two negatives with the scores $-1$ and 0 costs
# $0.1269 + 0.3133 + 0.6931 = 1.1333$.


# %%
def negative_sampling_loss(v: Tensor, u: Tensor, negatives: Tensor) -> Tensor:
    """Loss of skip-gram with negative sampling, mean over the pairs.

    Args:
        v: input vectors of the centres ``(B, d)``.
        u: output vectors of their true contexts ``(B, d)``.
        negatives: output vectors of the words drawn for each pair ``(B, K, d)``.

    Returns:
        the loss, a scalar; finite with a finite gradient, however large the scores.

    >>> v, u = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 5.0]])
    >>> negative_sampling_loss(v, u, torch.tensor([[[-1.0, 3.0], [0.0, 7.0]]]))
    tensor(1.1333)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch02.negative_sampling_loss", negative_sampling_loss)

# %% [markdown]
# ## 6. `spearman` (medium)
#
# Are these good word vectors? People were asked how alike the words of some hundred pairs are, on a scale of their own;
# the vectors answer with cosines. The two scales cannot be compared, but the two orders can. **Spearman's rank
# correlation** replaces each value by its rank (1 for the smallest) and takes Pearson's correlation of the ranks:
#
# $$\rho = \frac{\sum_i (a_i - \bar a)(b_i - \bar b)}{\sqrt{\sum_i (a_i - \bar a)^2}\,\sqrt{\sum_i (b_i - \bar b)^2}},$$
#
# with the ranks $a$ of `x` and $b$ of `y`. Equal values share the mean of the ranks that they take up together. (The short
# formula $1 - 6 \sum_i (a_i - b_i)^2 / (N^3 - N)$ holds only where no two values are equal.) Where all values of one side
# are equal there is no order to compare: $0 / 0$, and the result is NaN.
#
# A tiny case: `x` is 1, 2, 2, 9 with the ranks 1, 2.5, 2.5, 4; `y` is 10, 20, 30, 40 with the ranks 1, 2, 3, 4. About
# their mean 2.5 these are $(-1.5, 0, 0, 1.5)$ and $(-1.5, -0.5, 0.5, 1.5)$: $\rho = 4.5 / \sqrt{4.5 \cdot 5} = 0.9487$.


# %%
def spearman(x: Tensor, y: Tensor) -> Tensor:
    """Spearman's rank correlation; equal values share their mean rank.

    Args:
        x: values ``(N,)``.
        y: values ``(N,)``.

    Returns:
        the correlation, a scalar in [-1, 1], NaN where all values of ``x`` or of ``y`` are equal.

    >>> spearman(torch.tensor([1.0, 2.0, 2.0, 9.0]), torch.tensor([10.0, 20.0, 30.0, 40.0]))
    tensor(0.9487)
    """

    raise NotImplementedError("not done yet")


# %%
check("ch02.spearman", spearman)

# %% [markdown]
# ## 7. `negative_sampling_gradient` (hard)
#
# word2vec was fast because it had no autograd: its inner loop is the gradient, worked out by hand. Do the same for the
# loss of exercise 5,
#
# $$\mathcal{L} = \frac1B \sum_{b=1}^{B} \Big( -\log \sigma(u_b^\top v_b) - \sum_{k=1}^{K} \log \sigma(-n_{bk}^\top v_b)
# \Big),$$
#
# with respect to all three arguments. Each score enters one logarithm only, and the derivative of that by the score
# is an error, the probability that the model gives less the one it should give (1 for the true context, 0 for a drawn
# word). The chain rule then multiplies it by the other vector of the dot product. Autograd is off here, and scores of
# $\pm 1000$ must give no NaN.
#
# A tiny case with one pair and one negative: $v = (1, 0)$, $u = (0, 2)$, $n = (0, -4)$. Both scores are 0, so the
# errors are $-\tfrac12$ and $\tfrac12$. The gradient by $u$ is $-\tfrac12 v = (-0.5, 0)$, that by $n$ is
# $\tfrac12 v = (0.5, 0)$, and that by $v$ is $-\tfrac12 u + \tfrac12 n = (0, -3)$.


# %%
def negative_sampling_gradient(v: Tensor, u: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of the mean negative sampling loss, without autograd.

    Args:
        v: input vectors of the centres ``(B, d)``.
        u: output vectors of their true contexts ``(B, d)``.
        negatives: output vectors of the words drawn for each pair ``(B, K, d)``.

    Returns:
        the gradients with respect to ``v``, ``u`` and ``negatives``, each in the shape of its argument.

    >>> v, u, negatives = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([[[0.0, -4.0]]])
    >>> by_v, by_u, by_negatives = negative_sampling_gradient(v, u, negatives)
    >>> by_v
    tensor([[ 0., -3.]])
    """
    raise NotImplementedError("not done yet")


# %%
check("ch02.negative_sampling_gradient", negative_sampling_gradient)
