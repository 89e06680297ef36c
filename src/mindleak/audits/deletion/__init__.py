"""Deletion: train so that samples can be deleted exactly, delete them, and audit what a model still knows of them."""
