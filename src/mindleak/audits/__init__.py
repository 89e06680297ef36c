"""What a report answers, one folder a family of questions; ``family.py`` has their contract."""
