"""The published systems, one short file each, and the lab in which they are checked."""
