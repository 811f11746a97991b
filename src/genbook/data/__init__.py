"""Data for the book: truths with known densities, real data that needs no download, downloads, and your own."""
