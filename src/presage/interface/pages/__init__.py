"""What commands leave to look at: self-contained HTML pages with their plots, and the Markdown of published figures."""
