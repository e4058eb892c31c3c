"""The benchmark: Posthouse beside Debian's Postfix, on one machine and one disk, in turns."""
