/** Rows that go in several requests: what was answered is told, whatever became of the rest. */
import { describe, expect, it } from 'vitest'
import { GatewayError } from '../../../../src/core/errors.ts'
import type { Reply } from '../../../../src/core/reply.ts'
import { Incoming } from '../../../../src/data/backend/incoming.ts'
import { type FetchedAnswer, type FetchResult, inParts } from '../../../../src/data/serve/in-parts.ts'
import type { Row } from '../../../../src/protocol/protocol.ts'

const rows = Array.from({ length: 7 }, (_, i) => ({ digest: `${i}`, wire: Buffer.of(i) })) as unknown as Row[]
const REFUSED: Reply = { status: 400, headers: [], body: Buffer.from('no') }
const FAILURE = new GatewayError('backendReset', 'gone')

const answerTo = (row: Row) => ({ answer: { slice: row.wire } }) as unknown as FetchedAnswer
const answersTo = async (part: readonly Row[]): Promise<FetchResult> => ({ answers: part.map(answerTo) })
/** Two rows a request, but for the one that begins with row `at`. */
const except = async (at: number, other: () => Promise<FetchResult>) =>
  inParts(rows, 2, async (part) => (part[0] === rows[at] ? other() : answersTo(part)))

const known = (result: FetchResult) =>
  'some' in result ? [...result.some.keys()].sort((a, b) => a - b) : undefined

describe('where one request', () => {
  it('is refused, the others are told by their rows', async () => {
    const result = await except(2, async () => ({ unstored: REFUSED }))
    expect(known(result)).toEqual([0, 1, 4, 5, 6])
    expect(result).toMatchObject({ rest: { unstored: REFUSED } })
    expect('some' in result && result.some.get(6)).toEqual(answerTo(rows[6] as Row))
  })

  it('fails, the others are told by their rows', async () => {
    const result = await except(6, async () => Promise.reject(FAILURE))
    expect(known(result)).toEqual([0, 1, 2, 3, 4, 5])
    expect(result).toMatchObject({ rest: { error: FAILURE } })
  })

  it('is the only one, there is nothing else to tell', async () => {
    expect(await inParts(rows, 9, async () => ({ unstored: REFUSED }))).toEqual({ unstored: REFUSED })
    await expect(inParts(rows, 9, async () => Promise.reject(FAILURE))).rejects.toBe(FAILURE)
  })
})

it('of two that are refused one is told, and the other let go', async () => {
  let cut = 0
  const flow = { pause: () => {}, resume: () => {}, abort: () => cut++ }
  const bodies = [0, 1].map(() => new Incoming(flow, () => {}))
  for (const body of bodies) body.push(new Uint8Array(1 << 20))
  const refusals = bodies.map((body) => ({ ...REFUSED, body }))
  const result = await inParts(rows.slice(0, 4), 2, async (part) => ({
    unstored: refusals[part[0] === rows[0] ? 0 : 1] as Reply,
  }))
  expect(result).toEqual({ unstored: refusals[0] })
  expect(cut).toBe(1)
})

it('all that are answered are in the order of the rows', async () => {
  const result = await inParts(rows, 2, answersTo)
  expect(result).toEqual({ answers: rows.map(answerTo) })
})
