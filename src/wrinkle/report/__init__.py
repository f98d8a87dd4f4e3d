"""What a run came to, as one HTML page and as figures that a paper can take."""
