"""What a user of llama-cpp-python starts for one answer: run by cold_start.py in a Python that has it. FILE PROMPT TOKENS."""

import sys

from llama_cpp import Llama

model = Llama(sys.argv[1], n_ctx=512, verbose=False)
sys.stdout.write(sys.argv[2])
for piece in model.create_completion(sys.argv[2], max_tokens=int(sys.argv[3]), temperature=0.0, stream=True):
    sys.stdout.write(piece["choices"][0]["text"])
    sys.stdout.flush()
