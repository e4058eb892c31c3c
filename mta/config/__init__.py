"""Parameters, the service table, profiles, generations and rendering."""
