"""Omnisend as this project speaks to it: dialects, identity of events, mapping, client, and what answers mean."""
