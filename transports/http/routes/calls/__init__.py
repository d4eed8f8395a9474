"""Calls: webhooks of villages, channels of people, links in calls."""
