"""Anthropic's Messages API as a client's dialect: carried to OpenAI's chat format and back."""
