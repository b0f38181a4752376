"""What people touch: the command line (`cli.py`), its commands, the pages they leave, and the page that is driven."""
