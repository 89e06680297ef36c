"""What results of inversion call the splits that their images come from."""

from __future__ import annotations

TRAINING_SPLIT, TEST_SPLIT = "training split", "test split"
