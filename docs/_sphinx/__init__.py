"""What turns the Markdown of this folder into a site."""
