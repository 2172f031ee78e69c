import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { Embedder } from '../../../../src/model/embedding/embedder.ts'
import { companionFiles, parseCompanions } from '../../../../src/model/embedding/files.ts'
import type { EmbeddingOptions } from '../../../../src/model/embedding/options.ts'
import { onnx } from '../../../../src/model/onnx.ts'
import type { LoadedModel } from '../../../../src/model/runtime.ts'
import { modelFile } from '../../../support/model-server.ts'
import { echoModel, pairModel } from '../../../support/onnx-graph.ts'

const MODEL = modelFile('sentences/1/model.onnx')
let embedder: Embedder | undefined
afterEach(() => embedder?.retire())

async function filesOf(model: string) {
  const read = new Map<string, Uint8Array>()
  for (const path of await companionFiles(model)) read.set(path, await readFile(path))
  return parseCompanions(read)
}

/** The small encoder, whose runs are written down: texts and tokens of each. */
async function watched(options: EmbeddingOptions = {}, maxBatch = 64) {
  const runs: (readonly number[])[] = []
  const model = await onnx.load(await readFile(MODEL))
  const spy: LoadedModel = {
    ...model,
    run(inputs) {
      runs.push(inputs.get('input_ids')?.shape ?? [])
      return model.run(inputs)
    },
  }
  embedder = await Embedder.open(spy, await filesOf(MODEL), { ...options, maxBatch, delayMs: 0 })
  // The first was the trial.
  runs.length = 0
  return { embedder, runs }
}

const furthest = (one: Float32Array, other: Float32Array) =>
  one.reduce((most, x, i) => Math.max(most, Math.abs(x - (other[i] as number))), 0)

/** The tokens of `sort a list`. */
const SORT = [1416, 42, 414]

/** Texts of 1 to 100 words. */
const texts = Array.from({ length: 40 }, (_, i) =>
  Array.from(
    { length: 1 + ((i * 37) % 100) },
    (_word, j) => ['sort', 'the', 'values', 'of', 'an', 'array'][(i + j * j) % 6],
  ).join(' '),
)

describe('the embedder', () => {
  it.each([{ pooling: 'mean' }, { pooling: 'cls' }, { normalize: false }] as const)(
    'gives a text the same vector alone and in a batch: %j',
    async (options) => {
      const { embedder: model, runs } = await watched(options)
      const together = (await model.embed(texts)).vectors
      // Padded, but not beyond twice its length.
      expect(runs.length).toBeGreaterThan(1)
      expect(runs.length).toBeLessThan(texts.length)
      for (const [i, text] of texts.entries()) {
        const [alone] = (await model.embed([text])).vectors
        expect(furthest(alone as Float32Array, together[i] as Float32Array)).toBeLessThan(1e-5)
      }
    },
  )

  it('embeds the calls of one moment in one run, and gives each its own', async () => {
    const { embedder: model, runs } = await watched()
    const calls = await Promise.all(
      [['sort a list'], ['an array', 'a list'], ['sort a list']].map((each) => model.embed(each)),
    )
    expect(runs).toEqual([[4, 5]])
    expect(calls.map(({ vectors }) => vectors.length)).toEqual([1, 2, 1])
    expect(calls[0]?.vectors).toEqual(calls[2]?.vectors)
    expect(calls.map(({ tokens }) => tokens)).toEqual([5, 8, 5])
  })

  it('finds what is alike in meaning', async () => {
    const { embedder: model } = await watched()
    const { vectors } = await model.embed([
      'sort the elements of an array',
      'sorted array',
      'solve a linear equation',
    ])
    const [a, b, c] = vectors as [Float32Array, Float32Array, Float32Array]
    const likeness = (one: Float32Array, other: Float32Array) =>
      one.reduce((sum, x, i) => sum + x * (other[i] as number), 0)
    expect(likeness(a, b)).toBeGreaterThan(likeness(a, c))
    expect(likeness(a, a)).toBeCloseTo(1, 5)
  })

  it('takes tokens as they are, so those of a text with what is around it have its vector', async () => {
    const { embedder: model } = await watched()
    const [text, tokens, bare] = [
      await model.embed(['sort a list']),
      await model.embed([[2, ...SORT, 3]]),
      await model.embed([SORT]),
    ]
    expect(tokens).toEqual(text)
    expect(bare.tokens).toBe(text.tokens - 2)
    expect(bare.vectors).not.toEqual(text.vectors)
    await expect(model.embed([[2000]])).rejects.toThrow('input 0: 2000 is none of the 2000 tokens')
    await expect(model.embed([[-1]])).rejects.toThrow('-1 is none of')
    await expect(model.embed([[]])).rejects.toThrow('input 0 is empty')
  })

  it('refuses or cuts what is too long', async () => {
    const long = 'list '.repeat(200)
    const { embedder: refusing } = await watched()
    await expect(refusing.embed(['a', long])).rejects.toMatchObject({
      status: 400,
      message: 'input 1 has 202 tokens, of which this model reads at most 128',
    })
    refusing.retire()
    const { embedder: cutting, runs } = await watched({ truncate: true, maxTokens: 10 })
    const cut = await cutting.embed([long])
    expect(cut).toEqual(await cutting.embed(['list '.repeat(8)]))
    expect([cut.tokens, runs[0]]).toEqual([10, [1, 10]])
  })

  it('gives shorter vectors of length 1 where the model allows it', async () => {
    const { embedder: model } = await watched({ dimensions: [16] })
    const [whole] = (await model.embed(['sort a list'], 64)).vectors
    const [short] = (await model.embed(['sort a list'], 16)).vectors
    expect([whole?.length, short?.length]).toEqual([64, 16])
    expect(Math.hypot(...(short ?? []))).toBeCloseTo(1, 5)
    await expect(model.embed(['a'], 17)).rejects.toThrow(
      '"dimensions": 17 is not what this model\'s vectors may have: 16, 64',
    )
  })

  it('refuses a model or files that do not fit together, with the reason', async () => {
    const files = await filesOf(MODEL)
    const open = async (bytes: Uint8Array, given = files, options: EmbeddingOptions = {}) =>
      Embedder.open(await onnx.load(bytes), given, { ...options, maxBatch: 8, delayMs: 0 })
    const bytes = await readFile(MODEL)
    await expect(open(echoModel('INT64'))).rejects.toThrow('this model has "x"')
    await expect(open(pairModel())).rejects.toThrow('an encoder has inputs among')
    const tokenizer = files.get('tokenizer.json') as { added_tokens: object[] }
    const more = { ...tokenizer, added_tokens: [...tokenizer.added_tokens, { id: 2000, content: '[NEW]' }] }
    await expect(open(bytes, new Map([...files, ['tokenizer.json', more]]))).rejects.toThrow(
      'the model does not run on tokens of its tokenizer',
    )
    await expect(open(bytes, files, { maxTokens: 2 })).rejects.toThrow('2 tokens leave no room beside the 2')
    await expect(open(bytes, files, { dimensions: [65] })).rejects.toThrow('64 numbers cannot be cut to 65')
  })
})

describe('the files of an encoder', () => {
  it('are found beside the model or in the folder above, and named where they are broken', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'infergate-encoder-'))
    const model = join(folder, 'onnx', 'model.onnx')
    expect(await companionFiles(model)).toEqual([])
    expect(() => parseCompanions(new Map())).toThrow('needs its tokenizer.json beside it')
    await writeFile(join(folder, 'tokenizer.json'), '{"model"')
    const found = await companionFiles(model)
    expect(found.map((path) => dirname(path))).toEqual([folder])
    await expect(filesOf(model)).rejects.toThrow(/tokenizer\.json is not JSON/)
    await rm(folder, { recursive: true })
  })
})
