"""The outside world's pixels as scenes and chips, at native depth, by windows; and their radiometry."""
