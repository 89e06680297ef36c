"""mindleak: privacy and robustness audit of image classifiers on MindSpore."""

__version__ = "0.1.0"
