"""Fetching pictures from the web: public addresses only, slowly, within limits."""
