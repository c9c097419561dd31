// OpenAI's SDK for Node: chat, streams, tools, the Responses API and errors.
import assert from "node:assert/strict";
import OpenAI from "openai";

const { KEYPOOL_URL: URL_, KEYPOOL_KEY: KEY } = process.env;
const GEMINI = "gemini-3-pro-preview", GPT = "gpt-4o";
const SAYS = "Hello from the scripted upstream.", WEATHER = "sunny and 21 degrees";

const client = new OpenAI({ baseURL: `${URL_}/v1`, apiKey: KEY, maxRetries: 0 });
const hello = [{ role: "user", content: "Hello" }];
const parameters = {
  type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false,
};
const tools = [{ type: "function", function: { name: "weather", parameters } }];

const claims = {
  async "it chats"(model) {
    const made = await client.chat.completions.create({ model, messages: hello });
    assert.equal(made.choices[0].message.content, SAYS);
    assert.ok(made.usage.total_tokens > 0);
  },

  async "it streams"(model) {
    const stream = await client.chat.completions.create(
      { model, messages: hello, stream: true, stream_options: { include_usage: true } });
    let said = "", last;
    for await (const chunk of stream) {
      said += chunk.choices[0]?.delta.content ?? "";
      last = chunk;
    }
    assert.equal(said, SAYS);
    assert.ok(last.usage.total_tokens > 0);
  },

  async "a tool is called and its result understood"(model) {
    const messages = [{ role: "user", content: "How is the weather?" }];
    const { message, finish_reason } = (await client.chat.completions.create({ model, messages, tools })).choices[0];
    assert.equal(finish_reason, "tool_calls");
    const [call] = message.tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Oslo" });
    messages.push(message, { role: "tool", tool_call_id: call.id, content: WEATHER });
    const made = await client.chat.completions.create({ model, messages, tools });
    assert.ok(made.choices[0].message.content.includes(WEATHER));
  },

  async "tools are run by the SDK itself, in a stream"(model) {
    const seen = [];
    const weather = {
      type: "function",
      function: {
        name: "weather", parameters, parse: JSON.parse,
        function: ({ city }) => { seen.push(city); return `${WEATHER} in ${city}`; },
      },
    };
    const runner = client.chat.completions.runTools({ model, messages: hello, tools: [weather], stream: true });
    assert.ok((await runner.finalContent()).includes(`${WEATHER} in Oslo`));
    assert.deepEqual(seen, ["Oslo"]);
  },

  async "responses are made, streamed and call tools"(model) {
    const made = await client.responses.create({ model, input: "Hello" });
    assert.equal(made.output_text, SAYS);
    let said = "";
    for await (const event of client.responses.stream({ model, input: "Hello" }))
      if (event.type === "response.output_text.delta") said += event.delta;
    assert.equal(said, SAYS);

    const ask = {
      model, tools: [{ type: "function", name: "weather", parameters, strict: true }], store: false,
      include: ["reasoning.encrypted_content"],
    };
    const input = [{ role: "user", content: "How is the weather?" }];
    const first = await client.responses.create({ ...ask, input });
    const call = first.output.find((item) => item.type === "function_call");
    assert.deepEqual(JSON.parse(call.arguments), { city: "Oslo" });
    input.push(...first.output, { type: "function_call_output", call_id: call.call_id, output: WEATHER });
    assert.ok((await client.responses.create({ ...ask, input })).output_text.includes(WEATHER));
  },

  async "errors are of their own kind"(model) {
    const stranger = new OpenAI({ baseURL: `${URL_}/v1`, apiKey: "sk-nobody", maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
    await assert.rejects(client.chat.completions.create({ model, messages: "none" }), OpenAI.BadRequestError);
    await assert.rejects(client.models.retrieve("no-such-model"), OpenAI.NotFoundError);
  },
};

let failed = 0;
for (const [name, claim] of Object.entries(claims))
  for (const model of [GEMINI, GPT])
    try {
      await claim(model);
    } catch (error) {
      failed += 1;
      console.error(`\n${name} (${model}):\n${error.stack}`);
    }
console.log(`${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
