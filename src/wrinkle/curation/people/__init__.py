"""Ages by people: a Label Studio project, and what its answers say."""
