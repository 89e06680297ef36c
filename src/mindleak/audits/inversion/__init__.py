"""Inversion: what does a layer's output give back of an image?"""
