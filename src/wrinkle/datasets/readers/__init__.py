"""Readers: files on disk → rows. One file per dataset."""
