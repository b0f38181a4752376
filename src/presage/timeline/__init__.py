"""The heart. Streams and their tokens (`streams.py`), noise levels as laws and plans (`levels.py`), noise that follows
its row (`noise.py`), who may look at whom (`attention.py`), walking levels down (`sampler.py`), what comes next in the
simplest case (`expectation.py`), one imagination that can be grounded (`session.py`), and several as one (`joined.py`).

Time runs in model steps: `o0 --a0--> o1 --a1--> o2`. The attention *block* i holds the action that led to frame i and
the frame itself, `(a[i-1], o[i])`: then the policy, inverse dynamics and forward dynamics of one step are three noise
levels of one block, and causality is between blocks.
"""
