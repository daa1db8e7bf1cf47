"""`hlgfa bench`: one process an engine, asked in turn, and what their times say."""
