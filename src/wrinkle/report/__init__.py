"""Results of runs: tables with published figures, and an HTML page with figures as files."""
