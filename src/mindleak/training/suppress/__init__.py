"""Suppress-privacy training: the smallest weights of chosen layers are set to zero for good as training goes on.

The method is MindArmour's ``sup_privacy`` (docs/methods.md). Two engines run it: ``graph``, the compiled loop with the
masks on the device, and ``mindarmour``, MindArmour's own classes, which are the reference.
"""
