"""Approximate unlearning: a trained network is changed so that it behaves as if it had not seen some of its samples.

Nothing here deletes anything provably; the methods are the contrast to retraining. One file per method, the list of
them in ``methods``, what all have in common in ``unlearning``, their compiled loops in ``passes`` and ``fisher``.
"""
