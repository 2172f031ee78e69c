/** Documents that are ranked and scored, texts that are classified, tokens: kept by the row where the answer allows it. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

type Document = string | { readonly text: string }

interface Asked {
  readonly query?: string
  readonly documents?: readonly Document[]
  readonly text_2?: readonly string[]
  readonly input?: readonly string[]
  readonly top_n?: number
  readonly return_documents?: boolean
  readonly model: string
}

const textOf = (document: Document) => (typeof document === 'string' ? document : document.text)
/** A document that a model fails on has none. */
const scoreOf = (document: Document) =>
  textOf(document) === 'fail' ? Number.NaN : textOf(document).length / 100

/** A ranker whose listwise model scores each document by how many there are. */
function rerank({ documents = [], top_n = documents.length, return_documents, model }: Asked) {
  const results = documents.map((document, index) => ({
    index,
    relevance_score: model === 'listwise' ? scoreOf(document) / documents.length : scoreOf(document),
    ...(return_documents === true ? { document: { text: textOf(document) } } : {}),
  }))
  results.sort((a, b) => b.relevance_score - a.relevance_score || a.index - b.index)
  return {
    id: `rerank-${asked.length}`,
    model,
    results: results.slice(0, top_n),
    usage: { total_tokens: documents.length * 3 },
  }
}

function itemsOf(texts: readonly string[], item: (text: string) => object) {
  return {
    id: 'x',
    object: 'list',
    data: texts.map((text, index) => ({ index, ...item(text) })),
    model: 'm',
    usage: { prompt_tokens: texts.length },
  }
}

let backend: ScriptedBackend
let gateway: RunningGateway
const asked: Asked[] = []

beforeAll(async () => {
  backend = await startBackend(({ path, body }, response) => {
    const call = JSON.parse(body.toString()) as Asked
    asked.push(call)
    response.setHeader('content-type', 'application/json')
    const answers: Record<string, () => object> = {
      '/v1/rerank': () => rerank(call),
      '/v1/score': () => itemsOf(call.text_2 ?? [], (text) => ({ object: 'score', score: scoreOf(text) })),
      '/classify': () =>
        itemsOf(call.input ?? [], (text) => ({
          label: text.length > 3 ? 'long' : 'short',
          probs: [0.25, 0.75],
          num_classes: 2,
        })),
      '/tokenize': () => ({ tokens: [1, 2, 3], count: 3, max_model_len: 8 }),
    }
    response.end(JSON.stringify(answers[path]?.()))
  })
  const route = { protocol: 'openai' as const, pool: 'main' }
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      cache: { tiers: [{ name: 'memory', type: 'memory', maxBytes: '16MiB' }] },
      pools: { main: { backends: [{ url: backend.url }], health: { path: 'off' } } },
      routes: [
        { ...route, name: 'listwise', match: { model: 'listwise' }, cache: { rows: 'auto' } },
        { ...route, name: 'rows', match: {}, cache: { rows: 'always' } },
      ],
    },
  })
})
beforeEach(() => {
  asked.length = 0
})
afterAll(async () => {
  await gateway?.stop()
  await backend?.close()
})

async function post(path: string, body: object) {
  const { json, headers } = await gateway.post(path, body)
  return { json, cache: String(headers['cache-status']) }
}

describe('rerank', () => {
  const documents = ['a longer document', 'short', 'the longest document of all', 'medium one']

  it('asks for the documents that are not known, and ranks all of them', async () => {
    const query = 'which?'
    await post('/v1/rerank', { model: 'r', query, documents: documents.slice(0, 2) })
    const { json, cache } = await post('/v1/rerank', { model: 'r', query, documents, user: 'u' })
    expect(json).toMatchObject({
      model: 'r',
      results: [2, 0, 3, 1].map((index) => ({ index, relevance_score: scoreOf(documents[index] as string) })),
    })
    expect(cache).toContain('rows hit=2 join=0 miss=2 dup=0')
    expect(asked[1]?.documents).toEqual(documents.slice(2))
    await post('/v1/rerank', { model: 'r', query: 'another?', documents: documents.slice(0, 1) })
    expect(asked).toHaveLength(3)
  })

  it('keeps no document that was not judged', async () => {
    const asking = { model: 'r', query: 'failing?', documents: ['sound', 'fail'] }
    for (let i = 0; i < 2; i++) {
      const { json } = await post('/v1/rerank', asking)
      expect(json).toMatchObject({ results: expect.arrayContaining([{ index: 1, relevance_score: null }]) })
    }
    expect(asked).toHaveLength(2)
  })

  it('leaves it to the server what a bound of none means', async () => {
    const asking = { model: 'r', query: 'none?', documents }
    await post('/v1/rerank', asking)
    const { json } = await post('/v1/rerank', { ...asking, top_n: 0 })
    expect(json).toMatchObject({ results: [] })
    expect(asked[1]?.top_n).toBe(0)
  })

  it('gives as many as the caller wants, with their texts if it wants those', async () => {
    const query = 'how many?'
    const first = await post('/v1/rerank', {
      model: 'r',
      query,
      documents,
      top_n: 2,
      return_documents: false,
    })
    expect(first.json).toMatchObject({ results: [{ index: 2 }, { index: 0 }] })
    // All of them were asked for, so that none is missing another time.
    expect(asked).toMatchObject([{ documents, top_n: 4 }])
    const second = await post('/v1/rerank', {
      model: 'r',
      query,
      documents,
      top_n: 1,
      return_documents: true,
    })
    expect((second.json as { results: unknown[] }).results).toEqual([
      { index: 2, relevance_score: scoreOf(documents[2] as string), document: { text: documents[2] } },
    ])
    expect(asked).toHaveLength(1)
  })

  it('stays whole where a document is judged by the others', async () => {
    for (let i = 0; i < 30; i++) {
      const own = documents.map((document) => `${document} ${i}`)
      const { json } = await post('/v1/rerank', { model: 'listwise', query: 'q', documents: own })
      expect(json).toMatchObject({ results: { length: 4 } })
    }
    asked.length = 0
    const { json } = await post('/v1/rerank', {
      model: 'listwise',
      query: 'q',
      documents: [`${documents[0]} 1`, 'new'],
    })
    expect(asked[0]?.documents).toHaveLength(2)
    expect(json).toMatchObject({
      results: [{ index: 0, relevance_score: scoreOf(`${documents[0]} 1`) / 2 }, { index: 1 }],
    })
  })
})

it('score is kept by the document, under the query', async () => {
  await post('/v1/score', { model: 'm', text_1: 'q', text_2: ['a', 'bb'] })
  const { json, cache } = await post('/v1/score', { model: 'm', text_1: 'q', text_2: ['bb', 'ccc', 'a'] })
  expect(json).toMatchObject({
    data: [
      { index: 0, score: 0.02 },
      { index: 1, score: 0.03 },
      { index: 2, score: 0.01 },
    ],
  })
  expect(cache).toContain('rows hit=2 join=0 miss=1 dup=0')
  // Pairs are kept as they are.
  await post('/v1/score', { model: 'm', text_1: ['q', 'p'], text_2: ['a', 'bb'] })
  expect(asked.at(-1)?.text_2).toEqual(['a', 'bb'])
})

it('classes are kept by the text', async () => {
  await post('/classify', { model: 'm', input: ['one', 'three'] })
  const { json, cache } = await post('/classify', { model: 'm', input: ['three', 'two'] })
  expect(json).toMatchObject({
    data: [
      { index: 0, label: 'long', probs: [0.25, 0.75] },
      { index: 1, label: 'short' },
    ],
  })
  expect(cache).toContain('rows hit=1 join=0 miss=1 dup=0')
})

it('tokens are kept by the request', async () => {
  const first = await post('/tokenize', { model: 'm', prompt: 'a text' })
  const second = await post('/tokenize', { prompt: 'a text', model: 'm', user: 'u' })
  expect(second.json).toEqual(first.json)
  expect(second.cache).toContain('hit')
  await post('/tokenize', { model: 'm', prompt: 'a text', add_special_tokens: false })
  expect(asked).toHaveLength(2)
})
