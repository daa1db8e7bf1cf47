"""Who may reach the station, and how much of it: keys, the allow-list, limits, who is put out."""
