"""Queue files: their form, their commit, and the directories that hold them."""
