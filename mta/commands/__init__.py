"""The `mta` command: one module for each subcommand."""
