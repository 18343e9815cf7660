"""Files that are elsewhere, by their URL. The only room that knows fsspec, which is imported when a file is wanted."""
