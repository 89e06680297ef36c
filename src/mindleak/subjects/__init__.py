"""Trained classifiers with exactly what they were trained on, and how they are trained and asked as stages."""
