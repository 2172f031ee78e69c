/** Embeddings through the gateway: kept by the input, whatever asks for it, and however. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { base64, type EmbeddingsBackend, startEmbeddings, tokensOf, vectorOf } from '../support/embeddings.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

interface Answer {
  readonly data: readonly { readonly object: string; readonly index: number; readonly embedding: unknown }[]
  readonly model: string
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number }
}

let backend: EmbeddingsBackend
let gateway: RunningGateway

beforeAll(async () => {
  backend = await startEmbeddings()
  const route = { match: { path: '/v1/*' }, protocol: 'openai' as const, pool: 'main' }
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      cache: { tiers: [{ name: 'memory', type: 'memory', maxBytes: '64MiB' }] },
      pools: { main: { backends: [{ url: backend.url }], health: { path: 'off' } } },
      routes: [
        { ...route, name: 'rows', match: { path: '/v1/*', model: 'rows' }, cache: { rows: 'always' } },
        { ...route, name: 'whole', match: { path: '/v1/*', model: 'whole' }, cache: { rows: 'never' } },
        { ...route, name: 'auto', match: { path: '/v1/*', model: 'auto' }, cache: { rows: 'auto' } },
      ],
    },
  })
})
beforeEach(() => {
  backend.inputs.length = 0
  backend.knowsOnlyFloats = false
})
afterAll(async () => {
  await gateway?.stop()
  await backend?.close()
})

async function embed(body: object) {
  const { status, json, headers } = await gateway.post('/v1/embeddings', { model: 'rows', ...body })
  return { status, answer: json as Answer, cache: String(headers['cache-status']) }
}

const floats = (inputs: readonly (string | readonly number[])[]) =>
  inputs.map((input, index) => ({
    object: 'embedding',
    index,
    // As the server writes them: the shortest decimals that read back to the same 32-bit floats.
    embedding: expect.toSatisfy(
      (given: number[]) => base64(Float32Array.from(given)) === base64(vectorOf(input)),
    ),
  }))

describe.each(['rows', 'whole', 'auto'])('a route that keeps them by %s', (model) => {
  const text = `one text for ${model}`

  it('has one entry for a text and a list of it, as floats and as base64, whoever the user is', async () => {
    const first = await embed({ model, input: text })
    expect(first.answer).toMatchObject({
      data: floats([text]),
      model,
      usage: { prompt_tokens: tokensOf(text) },
    })
    const others = [
      { input: [text] },
      { input: text, user: 'u', metadata: { a: 1 } },
      { encoding_format: 'float', input: text },
    ]
    for (const other of others) {
      const { answer, cache } = await embed({ model, ...other })
      expect(answer).toMatchObject({ data: floats([text]), usage: { prompt_tokens: tokensOf(text) } })
      expect(cache).toContain('hit')
    }
    const coded = await embed({ model, input: text, encoding_format: 'base64' })
    expect(coded.answer.data).toEqual([{ object: 'embedding', index: 0, embedding: base64(vectorOf(text)) }])
    expect(coded.cache).toContain('hit')
    expect(backend.inputs).toEqual([[text]])
  })

  it('has each caller what it asked for, however often others have asked in other words', async () => {
    const texts = [`two of ${model}`, `three in ${model}`]
    await embed({ model, input: texts })
    let users = 0
    for (let turn = 0; turn < 4; turn++)
      for (const input of [texts, texts.toReversed()])
        for (const encoding of ['float', 'base64']) {
          const { answer, cache } = await embed({
            model,
            input,
            encoding_format: encoding,
            user: `u${++users}`,
          })
          const given = answer.data.map(({ embedding }) => embedding)
          if (encoding === 'float') expect(answer.data).toEqual(floats(input))
          else expect(given).toEqual(input.map((text) => base64(vectorOf(text))))
          if (turn > 0) expect(cache).toMatch(/hit; ttl=\d+; detail=memory/)
        }
  })

  it('has another for other members', async () => {
    for (const other of [{ dimensions: 2 }, { truncate: true }, { cache_salt: 'a' }, { cache_salt: 'b' }])
      await embed({ model, input: text, ...other })
    expect(backend.inputs).toHaveLength(4)
  })

  it('is not kept where its computation has failed', async () => {
    for (const encoding_format of ['float', 'base64', 'float', 'base64'])
      await embed({ model, input: ['fail'], encoding_format })
    expect(backend.inputs.length).toBe(4)
  })

  it('is given as floats where it came as base64', async () => {
    await embed({ model, input: 'coded first', encoding_format: 'base64' })
    const { answer, cache } = await embed({ model, input: 'coded first' })
    expect(answer.data).toEqual(floats(['coded first']))
    expect(cache).toContain('hit')
  })

  it('is written in the encoding that its caller wants, also by a server that knows but one', async () => {
    backend.knowsOnlyFloats = true
    const { answer } = await embed({ model, input: 'floats only', encoding_format: 'base64' })
    expect(answer.data[0]?.embedding).toBe(base64(vectorOf('floats only')))
  })
})

describe('rows', () => {
  it('asks for what nobody has, once, and puts each in its place', async () => {
    await embed({ input: ['a a', 'b'] })
    const { answer, cache } = await embed({ input: ['c c c', 'b', 'd', 'a a', 'd', 'b'] })
    expect(backend.inputs).toEqual([
      ['a a', 'b'],
      ['c c c', 'd'],
    ])
    expect(answer.data).toEqual(floats(['c c c', 'b', 'd', 'a a', 'd', 'b']))
    expect(cache).toContain('rows hit=2 join=0 miss=2 dup=2')
    // What was said of each request is shared out among its rows, by their length.
    expect(answer.usage.prompt_tokens).toBe(answer.usage.total_tokens)
    const again = await embed({ input: ['a a', 'b'] })
    expect(again.answer.usage).toEqual({ prompt_tokens: 5, total_tokens: 5 })
  })

  it('are lists of tokens as well: one list is one row', async () => {
    const one = await embed({ input: [1, 2, 3] })
    expect(one.answer.data).toEqual(floats([[1, 2, 3]]))
    const { answer, cache } = await embed({ input: [[4], [1, 2, 3]] })
    expect(answer.data).toEqual(floats([[4], [1, 2, 3]]))
    expect(cache).toContain('rows hit=1 join=0 miss=1 dup=0')
    expect(backend.inputs).toEqual([[[1, 2, 3]], [[4]]])
  })

  it('go in requests of at most 2048, whatever the caller has asked for', async () => {
    const inputs = Array.from({ length: 5000 }, (_, i) => `many ${i}`)
    await embed({ input: inputs.slice(0, 2) })
    const { answer } = await embed({ input: inputs })
    expect(answer.data).toEqual(floats(inputs))
    expect(backend.inputs.slice(1).map(({ length }) => length)).toEqual([2048, 2048, 902])
  })

  it('are kept where the request that they went in was answered, be another one refused', async () => {
    const inputs = Array.from({ length: 4100 }, (_, i) => (i === 3000 ? 'refuse' : `some ${i}`))
    await embed({ input: ['some 0'] })
    const { status } = await embed({ input: inputs })
    expect(status).toBe(400)
    const before = backend.inputs.length
    const { answer, cache } = await embed({ input: inputs.slice(0, 2000) })
    expect(answer.data).toEqual(floats(inputs.slice(0, 2000)))
    expect(cache).toContain('hit')
    expect(backend.inputs).toHaveLength(before)
  })

  it('that are refused are refused as the server does it, and nothing is kept', async () => {
    await embed({ input: 'known' })
    for (let i = 0; i < 2; i++) {
      const { status, answer } = await embed({ input: ['known', 'refuse'] })
      expect(status).toBe(400)
      expect(answer).toMatchObject({ error: { message: 'refused', type: 'invalid_request_error' } })
    }
    // What is refused of a part is asked again as a whole, so that the error is the server's to this request.
    const twice = [['refuse'], ['known', 'refuse']]
    expect(backend.inputs).toEqual([['known'], ...twice, ...twice])
  })

  it('are joined while they run', async () => {
    const bodies = Array.from({ length: 20 }, (_, i) => ({ input: ['joined', `own ${i % 4}`] }))
    const answers = await Promise.all(bodies.map(embed))
    for (const [i, { answer }] of answers.entries())
      expect(answer.data).toEqual(floats(['joined', `own ${i % 4}`]))
    expect(backend.inputs.flat()).toHaveLength(5)
    expect(new Set(backend.inputs.flat())).toEqual(new Set(['joined', 'own 0', 'own 1', 'own 2', 'own 3']))
  })
})

it('a byte-identical repeat takes the short way, to the route that its body names', async () => {
  const body = { model: 'whole', input: 'short way' }
  await embed(body)
  for (let i = 0; i < 3; i++) {
    const { answer, cache } = await embed(body)
    expect(answer.model).toBe('whole')
    expect(cache).toContain('hit')
  }
  expect(backend.inputs).toHaveLength(1)
})
