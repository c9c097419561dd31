"""OpenAI's Responses API for providers that know its chat format only: carried there and back."""
