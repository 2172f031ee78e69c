/** The openai library for Node: `client.mjs MODULE BASE`. Ids and times are the server's own, so they are left out. */
const [, , module, base] = process.argv
const { default: OpenAI } = await import(module)

const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: 'sk-none', maxRetries: 0, timeout: 60_000 })
const settings = { model: 'tiny', temperature: 0, max_tokens: 12 }
const messages = [{ role: 'user', content: 'ünï 日本' }]

await attempt('completion', async () => {
  const { choices, usage } = await client.completions.create({ ...settings, prompt: 'once' })
  return [choices[0].text, usage]
})
await attempt('chat', async () => {
  const { choices, usage } = await client.chat.completions.create({ ...settings, messages })
  return [choices[0].message.content, usage]
})
await attempt('chat, a stream', async () => {
  const pieces = []
  for await (const { choices } of await client.chat.completions.create({
    ...settings,
    // Not the chat from above: this server drops broken characters from streams, and has them in JSON.
    messages: [{ role: 'user', content: 'hello' }],
    stream: true,
  })) {
    pieces.push(choices[0])
  }
  // How the text is cut into pieces is not part of the answer.
  const text = pieces.map(({ delta }) => delta.content ?? '').join('')
  return [pieces[0].delta.role, text, pieces.at(-1).finish_reason]
})
await attempt('models', async () => (await client.models.list()).data.map(({ id }) => id))
await attempt('an argument that is refused', () =>
  client.completions.create({ ...settings, prompt: 'x', max_tokens: -5 }),
)

async function attempt(name, call) {
  const answer = await call().catch((error) => ({ raised: error.constructor.name, says: error.message }))
  process.stdout.write(`${JSON.stringify({ case: name, answer })}\n`)
}
