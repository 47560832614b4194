"""Ki-67 validation: can a deep-learning Ki-67 index be trusted?"""

__version__ = "0.1.0"
