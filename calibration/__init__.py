"""Everything that is learned from good parts."""
