"""`presage play`: a person drives the robot in the dream, in a browser; the real simulator runs beside it.

`dream.py` is one person's dream and `studio.py` what all of them share; `recording.py` makes datasets of it;
`player.py` is the conversation with one browser and `server.py` the doorway. `page/` is what the browser shows: plain
files, no build.
"""
