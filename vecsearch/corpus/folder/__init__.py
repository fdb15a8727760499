"""A folder of files as a corpus: found (`walk`), turned into text by child processes (`conversion`, `child`, `formats`), split
into passages at their headings (`passages`), and read as documents (`reading`)."""
