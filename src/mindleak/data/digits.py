"""scikit-learn's embedded digits: 1,797 images of 8x8 pixels with values 0..16, no network, no files.

scikit-learn offers one set; the split into 1,297 training and 500 test rows is ours: stratified, and the same
on every machine (fixed seed, a generator of its own).
"""

from __future__ import annotations

import numpy as np

from mindleak.data.dataset import RawData
from mindleak.data.splits import deal

_TEST_ROWS = 500
_SPLIT_SEED = 1797


def read_digits(class_names: tuple[str, ...]) -> RawData:
    """Return the digits as uint8 (N, 1, 8, 8), values 0..16."""
    # Imported here: scikit-learn takes about a second, and only this data set needs it.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, np.newaxis]
    labels = bunch.target.astype(np.int32)
    train_rows = len(labels) - _TEST_ROWS
    order = np.random.SeedSequence(_SPLIT_SEED)
    roles = deal(labels, np.arange(len(labels)), {"train": train_rows, "test": _TEST_ROWS}, order)
    train, test = roles["train"], roles["test"]
    return RawData(images[train], labels[train], images[test], labels[test], class_names, scale=16.0)
