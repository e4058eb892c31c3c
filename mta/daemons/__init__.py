"""One module or package a daemon; they meet on sockets only."""
