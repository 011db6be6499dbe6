"""Splice: a Parquet file without some rows or cells, made by copying all row groups that hold none of them.

    with Source.open(path) as source:
        rows = splice(source, cut, sink, arrow_schema)

Bottom up: `thrift` codes the structs in which a file describes itself and `views` names their fields; `footer`, `pages` and
`indexes` are what Parquet says in them; `bare` reads values without their meaning, `style` tells how a chunk was written,
`encode` writes one like it, `paging` and `paged` do so for a few of its pages, `dictionaries` finds values that outlive their
rows; `splice` puts a file together and `verify` takes it apart again.
"""
