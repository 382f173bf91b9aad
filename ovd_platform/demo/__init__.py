"""A rendered world with exact truth: scenes, SAR, documents and labels.

Everything it writes says that it is rendered.
"""
