"""What staff do with the guests of a list by hand."""
