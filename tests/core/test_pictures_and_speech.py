"""OpenAI's images and speech for Google's models."""

import base64
import io
import wave

import orjson
import pytest

from pool.core.calls import GEMINI, OPENAI, Call
from pool.core.dialects import codec_for
from pool.core.faults import Fault

USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 1290, "totalTokenCount": 1297}
PCM = base64.b64encode(b"\x01\x00" * 2400).decode()


def call_of(operation, **payload):
    return Call("r", OPENAI, operation, "m", False, b"", payload, created=5)


def asked(operation, model, **payload):
    ask = codec_for(OPENAI, GEMINI, operation).ask(call_of(operation, **payload), model)
    return ask.path, orjson.loads(ask.body)


def replied(operation, native, **payload):
    return codec_for(OPENAI, GEMINI, operation).reply(call_of(operation, **payload), {}, orjson.dumps(native))


def answer(*parts, **more):
    return {"candidates": [{"content": {"parts": list(parts)}}], "usageMetadata": USAGE, **more}


def test_a_gemini_model_is_asked_for_a_picture_as_its_answer():
    path, body = asked("images", "gemini-2.5-flash-image", prompt="A cat", size="1792x1024")
    assert path == "/models/gemini-2.5-flash-image:generateContent"
    assert body["contents"] == [{"role": "user", "parts": [{"text": "A cat"}]}]
    assert body["generationConfig"] == {"responseModalities": ["TEXT", "IMAGE"], "imageConfig": {"aspectRatio": "16:9"}}


def test_imagen_is_asked_to_predict():
    path, body = asked("images", "models/imagen-4.0-generate-001", prompt="A cat", n=3, size="1024x1536",
                       output_format="jpeg")  # fmt: skip
    assert path == "/models/imagen-4.0-generate-001:predict"
    assert body == {
        "instances": [{"prompt": "A cat"}],
        "parameters": {"sampleCount": 3, "aspectRatio": "3:4", "outputOptions": {"mimeType": "image/jpeg"}},
    }


@pytest.mark.parametrize(
    ("payload", "param"),
    [
        ({}, "prompt"), ({"prompt": 5}, "prompt"), ({"prompt": "x", "n": 2}, "n"),
        ({"prompt": "x", "size": "big"}, "size"), ({"prompt": "x", "size": "0x5"}, "size"),
        ({"prompt": "x", "stream": True}, "stream"),
    ],
)  # fmt: skip
def test_pictures_that_cannot_be_are_refused_by_name(payload, param):
    with pytest.raises(Fault) as refused:
        asked("images", "gemini-2.5-flash-image", **payload)
    assert (refused.value.status, refused.value.param) == (400, param)


def test_pictures_come_as_base64_or_as_an_address_that_holds_them():
    native = answer({"text": "Here."}, {"inlineData": {"mimeType": "image/png", "data": "QUJD"}})
    reply = replied("images", native, prompt="x")
    assert orjson.loads(reply.body) == {
        "created": 5,
        "data": [{"b64_json": "QUJD"}],
        "usage": {
            "input_tokens": 7,
            "input_tokens_details": {"text_tokens": 7, "image_tokens": 0},
            "output_tokens": 1290,
            "total_tokens": 1297,
        },
    }
    assert reply.usage.output == 1290
    url = orjson.loads(replied("images", native, prompt="x", response_format="url").body)["data"][0]["url"]
    assert url == "data:image/png;base64,QUJD"
    predictions = {"predictions": [{"bytesBase64Encoded": "QQ==", "mimeType": "image/png"}] * 2}
    assert len(orjson.loads(replied("images", predictions, prompt="x").body)["data"]) == 2


@pytest.mark.parametrize(
    "native",
    [
        answer({"text": "I cannot draw that."}),
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"predictions": [{"raiFilteredReason": "filtered"}]},
    ],
)
def test_no_picture_is_the_prompts_fault(native):
    with pytest.raises(Fault) as refused:
        replied("images", native, prompt="x")
    assert (refused.value.status, refused.value.code) == (400, "content_policy_violation")


@pytest.mark.parametrize("operation", ["images", "speech"])
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"candidates": 5}', b'{"candidates": [5]}'])
def test_what_is_no_answer_of_googles_is_unreadable(operation, body):
    with pytest.raises((ValueError, Fault)):
        reply = codec_for(OPENAI, GEMINI, operation).reply(call_of(operation, prompt="x"), {}, body)
        assert not reply.useful
        raise ValueError


def test_speech_is_asked_for_in_one_of_googles_voices():
    path, body = asked("speech", "gemini-2.5-flash-preview-tts", input="Hello", voice="alloy", instructions="Whisper.")
    assert path == "/models/gemini-2.5-flash-preview-tts:generateContent"
    assert body["contents"][0]["parts"] == [{"text": "Whisper: Hello"}]
    assert body["generationConfig"] == {
        "responseModalities": ["AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    }
    assert "Puck" in str(asked("speech", "tts", input="x", voice="Puck"))


@pytest.mark.parametrize(
    ("payload", "param"),
    [
        ({"voice": "alloy"}, "input"), ({"input": "x"}, "voice"), ({"input": "x", "voice": "nobody"}, "voice"),
        ({"input": "x", "voice": "alloy", "response_format": "mp3"}, "response_format"),
        ({"input": "x", "voice": "alloy", "stream_format": "sse"}, "stream_format"),
    ],
)  # fmt: skip
def test_speech_that_cannot_be_is_refused_by_name(payload, param):
    with pytest.raises(Fault) as refused:
        asked("speech", "tts", **payload)
    assert (refused.value.status, refused.value.param) == (400, param)


def test_speech_is_a_wav_file_or_bare_samples():
    native = answer({"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": PCM}})
    reply = replied("speech", native, input="x")
    assert reply.content_type == "audio/wav"
    with wave.open(io.BytesIO(reply.body)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth(), file.getnframes()) == (24000, 1, 2, 2400)
    bare = replied("speech", native, input="x", response_format="pcm")
    assert (bare.content_type, bare.body) == ("audio/pcm", base64.b64decode(PCM))
