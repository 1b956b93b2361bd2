"""The page of a real server, in a real Chromium."""
