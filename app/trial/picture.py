"""The report as one page of HTML with its pictures in it."""

from html import escape


def page(result: object) -> str:
    return f"<!doctype html><title>townwatch chaos</title>{escape('')}"
