"""What a run is: its recipe, its folder, and the reader of finished runs."""
