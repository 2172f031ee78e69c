/**
 * What the dialect costs a cached embedding of one short text that is asked for in another spelling than before, against what
 * reading a V1 body of 200 bytes costs: the model, the key, and the answer from its row. Rounds are interleaved.
 *
 *   node bench/micro/embeddings.ts [rounds]
 */
import type { Call } from '../../src/core/call.ts'
import { type Digest, digestOf } from '../../src/core/key.ts'
import { openai } from '../../src/protocol/openai/openai.ts'
import type { Plan, Protocol, Rows } from '../../src/protocol/protocol.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'

const rounds = Number(process.argv[2] ?? 30)
const CALLS = 20_000
const seed: Digest = digestOf('bench')

function callTo(protocol: Protocol, path: string): Call {
  return {
    id: 'bench',
    method: 'POST',
    path,
    query: '',
    headers: [],
    host: 'bench',
    peer: '127.0.0.1',
    principal: '',
    target: protocol.match('POST', path),
    body: new Uint8Array(0),
    deadline: Number.POSITIVE_INFINITY,
    signal: new AbortController().signal,
  }
}

const v1Call = callTo(tfserving, '/v1/models/m:predict')
const v1Body = Buffer.from(`{"instances":[[${Array.from({ length: 9 }, (_, i) => Math.sin(i + 1)).join()}]]}`)
const embedding = callTo(openai, '/v1/embeddings')
const requests = [
  '{"input":"a short text of a few words","model":"embedder","user":"u-1"}',
  '{"model": "embedder", "input": ["a short text of a few words"], "encoding_format": "float"}',
].map((text) => Buffer.from(text))

interface Side {
  readonly name: string
  run(i: number): unknown
}

const rows = openai.rows as Rows

function answerOf(dimensions: number): Buffer {
  const data = [
    {
      object: 'embedding',
      index: 0,
      embedding: Array.from({ length: dimensions }, (_, i) => Math.fround(Math.sin(i + 1) / 10)),
    },
  ]
  return Buffer.from(
    JSON.stringify({ object: 'list', data, model: 'embedder', usage: { prompt_tokens: 7, total_tokens: 7 } }),
  )
}

function fromRow(dimensions: number): Side {
  const [body] = requests as [Buffer]
  const plan = openai.read(embedding, body, { seed, split: true }) as Plan
  const answer = answerOf(dimensions)
  const kept = rows.cut({ status: 200, headers: [], body: answer }, answer, 1, {
    common: plan.common,
    rows: plan.rows ?? [],
  })
  if (!kept) throw new Error('no answer')
  return {
    name: `embedding of ${dimensions} from its row`,
    run(i) {
      const own = requests[i & 1] as Buffer
      openai.model?.(own)
      const read = openai.read(embedding, own, { seed, split: true }) as Plan
      return rows.assemble(read, kept)
    },
  }
}

function fromWhole(dimensions: number): Side {
  const reply = { status: 200, headers: ['content-type', 'application/json'], body: answerOf(dimensions) }
  return {
    name: `embedding of ${dimensions} from its answer`,
    run(i) {
      const own = requests[i & 1] as Buffer
      openai.model?.(own)
      const read = openai.read(embedding, own, { seed, split: false }) as Plan
      return openai.address(reply, embedding, read)
    },
  }
}

const sides: readonly Side[] = [
  { name: 'V1, 200 bytes', run: () => tfserving.read(v1Call, v1Body, { seed, split: false }) },
  fromWhole(8),
  fromRow(8),
  fromRow(384),
  fromRow(1536),
]

function timed({ run }: Side): number {
  const start = process.cpuUsage()
  for (let i = 0; i < CALLS; i++) run(i)
  const { user, system } = process.cpuUsage(start)
  return (user + system) / CALLS
}

const spent = sides.map((): number[] => [])
for (let round = 0; round < rounds; round++)
  for (const [i, side] of sides.entries()) spent[i]?.push(timed(side))
for (const [i, { name }] of sides.entries()) {
  const sorted = (spent[i] as number[]).sort((a, b) => a - b)
  console.log(`${name.padEnd(36)} ${(sorted[rounds >> 1] as number).toFixed(2)} µs`)
}
