"""The search page. Not built yet: search is `ovd search`; this folder marks its place in the layers."""
