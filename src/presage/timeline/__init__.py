"""The heart: streams (`streams.py`), what noise does to them (`corruption.py`), noise levels as roles and schedules
(`levels.py`), noise that follows its row (`noise.py`), who may look at whom (`attention.py`), what is kept of the past
(`memory.py`), the seam to networks (`backbone.py`), walking levels down (`sampler.py`), one imagination that can be
grounded (`session.py`), and several as one (`joined.py`). It knows no robot part, no network and no use.

Time runs in steps: `o0 --a0--> o1 --a1--> o2`. Step i holds the action that led to frame i and the frame itself,
`(a[i-1], o[i])`: then the policy, inverse dynamics and forward dynamics of one step are noise levels of one question,
and causality is between steps.
"""
