"""`presage label`: a person says which recorded episodes succeeded, in a browser.

`answers.py` is what was said and what comes next, `film.py` what is shown, `server.py` the conversation with the
browser. `page/` is what the browser shows: plain files, no build.
"""
