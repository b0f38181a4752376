"""What people touch: the command line (`cli.py`, one file a group of commands), the demo and its page, the figures."""
