"""Merge the records of many files and programs into one build. Pure: no files, no clock.

The rules
---------
- A file is compared with *its own* previous record. Reading it again with the same content changes nothing.
- Components, and features, come from the newest checkpoint (time, then id) that is not rolled back and holds any; an
  empty list never removes. At equal times the one written last is the newest, except in a copied folder.
  ``features.json`` and other files add to them.
- The same kind and id in several files: the newest wins, field by field. A checkpoint has the time that it states; any
  other file its modification time, unless the whole folder is a copy (all files are newer than their stated times).
  Ties go to the checkpoint, then ``features.json``, then the orchestration state. A field that is None, empty or
  unknown is absent.
- An item is removed when no source contains it any more.
- A published value is newer than all files, and holds until a file changes its own value of the item: then the changed
  fields win. Reading a file again changes nothing. An item that exists only in publications stays.
- While plans or claimed locks exist, their verdict decides what is said of the build, unless a checkpoint is newer.
- Else the build's percentage is the first known one of: components and features; the orchestration state; the lock of
  the present phase; ``orchestration.json``; workflows and pools. Its status comes from the same source. When none is
  known, the status is that of the newest checkpoint.

The rooms inside
----------------
`records` keeps the newest record of every file, `sources` who says what of each item, `items` the merged items; each
keeps the lists and sums that are asked for, so that a change costs what changed and not what there is. `whole` reads
them to judge the build as a whole, and `merge` connects them.
"""

from __future__ import annotations

from .merge import Merge
from .records import is_copied

__all__ = ["Merge", "is_copied"]
