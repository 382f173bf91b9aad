"""Chips, boxes and words to unit vectors. Networks are models', tables are stores', ranking is search's."""
