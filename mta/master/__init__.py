"""The whole pact between the master and its daemons: plugin, skeleton, sandbox."""
