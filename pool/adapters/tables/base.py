"""The one `db` all tables hang on, and the column types they share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import JSON, BigInteger, Dialect, Double, Index, Integer, LargeBinary, MetaData, String, text
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

# Every constraint has a name, or Alembic's batch mode could not drop it on SQLite.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


db = SQLAlchemy(model_class=Base, disable_autonaming=True)

if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model


def storable(text: str, length: int | None = None) -> str:
    """`text` clipped to `length`, without what PostgreSQL refuses: NUL and halves of surrogate pairs.

    Model names and error texts come from strangers; one of them must not make a whole batch of usage fail.
    """
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    if "\0" in text:
        text = text.replace("\0", "")
    return text[:length]


class Line(TypeDecorator[str]):
    """Text from outside, made `storable` as it is bound."""

    impl = String
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value, self.length)


# SQLite gives row ids only to a column declared INTEGER, which holds 64 bits there.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")
STRUCTURE = JSON(none_as_null=True)

RowId = Annotated[int, mapped_column(ROW_ID, primary_key=True)]
Moment = Annotated[float, mapped_column(Double)]
Born = Annotated[float, mapped_column(Double, default=time.time)]
Big = Annotated[int, mapped_column(BigInteger, default=0)]
Whole = Annotated[int, mapped_column(Integer, default=0)]
Flag = Annotated[bool, mapped_column(default=False)]
Sealed = Annotated[bytes, mapped_column(LargeBinary)]
Digest = Annotated[bytes, mapped_column(LargeBinary(32))]
Words = Annotated[list[str], mapped_column(STRUCTURE)]
Table = Annotated[dict[str, Any], mapped_column(STRUCTURE)]
Prose = Annotated[str, mapped_column(Line, default="")]
Name = Annotated[str, mapped_column(Line(200), default="")]
# Words of our own (a state, a dialect), which need no clipping.
Short = Annotated[str, mapped_column(String, default="")]


def only_where(name: str, *columns: str, condition: str, unique: bool = False) -> Index:
    """An index over the few rows that meet `condition`, on either database."""
    return Index(name, *columns, unique=unique, sqlite_where=text(condition), postgresql_where=text(condition))
