"""What a run is: its recipe, its folder, and what finished runs say."""
