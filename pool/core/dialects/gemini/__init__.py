"""Google's native Gemini dialect, and OpenAI's carried over to it."""
