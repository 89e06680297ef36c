"""Data sets, file formats, and splits into roles.

``catalogue.load`` gives a :class:`~mindleak.data.dataset.Dataset` as the network sees it;
``splits.split_roles`` deals its training rows out to target, shadows and population.
"""
