"""Documents made with exact truth by many producers, for `pdf-generated`. Belongs here: making and scoring; extraction is the library's."""
