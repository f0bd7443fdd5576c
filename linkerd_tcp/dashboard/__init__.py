"""The pages for people: what is going on, why, and what can be done about it, drawn from plain JSON shapes.

`shown` is what they need of the program, be it one process or all workers together; `frame` is the shape of its figures
and states at one moment. Pure parts turn shapes into rows of text (`cells`) and sentences: `attention`, `overview`,
`story`, `tree`. `pages` draws them with templates, and `live` keeps open pages current.

Every text is made here: a page's script only puts it in place, row by row, into copies of the template's own rows.
"""
