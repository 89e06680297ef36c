"""Per-sample signals of membership, computed from a classifier's logits in float64.

With p the softmax of the logits and y the true label. Logarithms of probabilities are taken by log-sum-exp
and never of a rounded probability: members of an overfitted model sit at p_y within 1e-16 of 1, and that is
exactly where the signals must still tell samples apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mindleak.evaluation.validation import label_vector, logit_matrix


def softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Return the class probabilities p, shape (N, C), of ``logits`` of shape (N, C).

    Raises:
        ValueError: another shape, or a logit that is not finite.
    """
    return np.exp(_log_softmax(logit_matrix(logits)))


def loss(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Return the cross-entropy -ln p_y, shape (N,); low means member (Yeom et al., arXiv 1709.01604).

    Raises:
        ValueError: as ``softmax``, or labels that do not fit.
    """
    matrix, truth = _labelled(logits, labels)
    return np.logaddexp(0.0, -_logit_scaled(matrix, truth))


def confidence(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Return the true label's probability p_y, shape (N,); high means member.

    Raises:
        ValueError: as ``softmax``, or labels that do not fit.
    """
    return np.exp(-loss(logits, labels))


def entropy(logits: ArrayLike) -> NDArray[np.float64]:
    """Return -Σ p ln p in nats, shape (N,); low means member.

    Raises:
        ValueError: as ``softmax``.
    """
    log_p = _log_softmax(logit_matrix(logits))
    return -np.sum(np.exp(log_p) * log_p, axis=1)


def modified_entropy(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Return -(1-p_y) ln p_y - Σ_{i≠y} p_i ln(1-p_i), shape (N,); low means member.

    Song & Mittal, arXiv 2003.10595, eq. 7.

    Raises:
        ValueError: as ``softmax``, or labels that do not fit.
    """
    matrix, truth = _labelled(logits, labels)
    log_p = _log_softmax(matrix)
    log_rest = _log_complement(matrix, log_p)
    samples = np.arange(matrix.shape[0])
    terms = np.exp(log_p) * log_rest
    terms[samples, truth] = np.exp(log_rest[samples, truth]) * log_p[samples, truth]
    return -terms.sum(axis=1)


def phi(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Return the logit-scaled confidence ln p_y - ln Σ_{i≠y} p_i, shape (N,); high means member.

    Carlini et al., arXiv 2112.03570, sec. V-C. The normaliser cancels: z_y - logsumexp_{i≠y} z_i.

    Raises:
        ValueError: as ``softmax``, or labels that do not fit.
    """
    return _logit_scaled(*_labelled(logits, labels))


def top_k(logits: ArrayLike, k: int) -> NDArray[np.float64]:
    """Return each sample's ``k`` largest probabilities in falling order, shape (N, k).

    Raises:
        ValueError: as ``softmax``, or k outside [1, C].
    """
    probabilities = softmax(logits)
    classes = probabilities.shape[1]
    if not 1 <= k <= classes:
        raise ValueError(f"k lies in [1, {classes}], got {k}")
    return np.sort(probabilities, axis=1)[:, ::-1][:, :k]


def _labelled(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    matrix = logit_matrix(logits)
    return matrix, label_vector(labels, *matrix.shape)


def _log_sum_exp(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln Σ e^z over the classes, shape (N, 1); -inf entries count as absent classes."""
    largest = logits.max(axis=1, keepdims=True)
    return largest + np.log(np.sum(np.exp(logits - largest), axis=1, keepdims=True))


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - _log_sum_exp(shifted)


def _log_sum_of_others(logits: NDArray[np.float64], one: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ln Σ_{i≠one} e^{z_i}, shape (N,), ``one`` being a class per sample."""
    others = logits.copy()
    others[np.arange(logits.shape[0]), one] = -np.inf
    return _log_sum_exp(others)[:, 0]


def _logit_scaled(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    # Shifted first: at huge logits the sum's own ln 2 or ln 3 would be rounded away.
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted[np.arange(logits.shape[0]), labels] - _log_sum_of_others(shifted, labels)


def _log_complement(logits: NDArray[np.float64], log_p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln(1 - p_i) for every class, shape (N, C).

    Only the largest p can be near 1; for it the others are summed, for the rest log1p is exact enough.
    """
    samples, best = np.arange(logits.shape[0]), logits.argmax(axis=1)
    p = np.exp(log_p)
    p[samples, best] = 0.0
    result = np.log1p(-p)
    shifted = logits - logits.max(axis=1, keepdims=True)
    result[samples, best] = _log_sum_of_others(shifted, best) - _log_sum_exp(shifted)[:, 0]
    return result
