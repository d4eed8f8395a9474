"""Columns that tables are made of, and the metadata that all tables belong to."""

from sqlalchemy import BigInteger, Column, Integer, MetaData, Text

metadata = MetaData()

AutoId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column declared INTEGER."""


def ms(name: str, *, nullable: bool = True) -> Column[int]:
    """Return a column of epoch milliseconds."""
    return Column(name, BigInteger, nullable=nullable)


def text(name: str, *, nullable: bool = False) -> Column[str]:
    """Return a column of text."""
    return Column(name, Text, nullable=nullable)
