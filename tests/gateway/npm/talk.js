// Asks a gateway by each of the openai package's ways, and prints what came as one line of JSON.
// node talk.js URL MODEL

import OpenAI, { NotFoundError } from 'openai';

const [url, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Tell me a story.' }];
const chat = { model, messages, max_tokens: 12, temperature: 0 };
const response = { model, input: messages, max_output_tokens: 12, temperature: 0 };

const models = await client.models.list();
const whole = await client.chat.completions.create(chat);
const streamed = await client.chat.completions.stream(chat).finalContent();
const wholeResponse = await client.responses.create(response);
const streamedResponse = await client.responses.stream(response).finalResponse();
const refused = await client.chat.completions
  .create({ ...chat, model: 'nobody' })
  .catch((error) => error instanceof NotFoundError && error.code);

console.log(
  JSON.stringify({
    models: models.data.map((card) => card.id),
    chat: whole.choices[0].message.content,
    streamed_chat: streamed,
    response: wholeResponse.output_text,
    streamed_response: streamedResponse.output_text,
    refused,
  }),
);
