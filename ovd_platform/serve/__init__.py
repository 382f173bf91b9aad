"""The search page and its HTTP API: the library's own calls behind addresses, and the built front end that asks them."""
