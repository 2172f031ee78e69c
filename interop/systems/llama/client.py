"""The openai library for Python: `client.py BASE`. Ids and times are the server's own for each answer, so they are left out."""

import openai
from cases import BASE, attempt

client = openai.OpenAI(base_url=f"{BASE}/v1", api_key="sk-none", max_retries=0, timeout=60)
SETTINGS = {"model": "tiny", "temperature": 0, "max_tokens": 12}
MESSAGES = [{"role": "user", "content": "ünï 日本"}]


def completion():
    answer = client.completions.create(prompt="once", **SETTINGS)
    return [answer.choices[0].text, answer.usage.model_dump()]


def chat():
    answer = client.chat.completions.create(messages=MESSAGES, **SETTINGS)
    return [answer.choices[0].message.content, answer.usage.model_dump()]


def stream():
    # Not the chat from above: this server drops broken characters from streams, and has them in JSON.
    messages = [{"role": "user", "content": "hello"}]
    # How the text is cut into pieces is not part of the answer.
    pieces = [piece.choices[0] for piece in client.chat.completions.create(messages=messages, stream=True, **SETTINGS)]
    text = "".join(piece.delta.content or "" for piece in pieces)
    return [pieces[0].delta.role, text, pieces[-1].finish_reason]


attempt("completion", completion)
attempt("chat", chat)
attempt("chat, a stream", stream)
attempt("models", lambda: [model.id for model in client.models.list()])
attempt("embeddings", lambda: client.embeddings.create(model="tiny", input=["a", "b"]).data[1].embedding[:4])
attempt("an argument that is refused", lambda: client.completions.create(model="tiny", prompt="x", max_tokens=-5).id)
