"""Search: words and chips against stored vectors, no pixels needed. Answers are hits; labelled answers are detect's."""
