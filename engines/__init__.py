"""Arrays in, arrays out: the HLGFA network, its export, and one file per runtime."""
