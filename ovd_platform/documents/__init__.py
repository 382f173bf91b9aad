"""PDF documents -> figures -> image-text pairs. Knows nothing of training; its products are pairs, tables and reports."""
