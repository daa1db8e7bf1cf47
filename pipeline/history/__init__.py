"""What the station keeps: the journal, what is asked of it and its consumers, the archive of frames."""
