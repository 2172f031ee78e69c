/**
 * One admission: whichever way answers a call, the caller's limits judge it alike. The same calls are sent into three
 * gateways that differ only in where their answers come from: one has no hits before its pipeline, one answers repeats from
 * process memory, one from a shared tier. The budget of `no-cache` shows a verdict: whether a backend was asked.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RawPairs } from '../../src/core/call.ts'
import { digestOf } from '../../src/core/key.ts'
import {
  bodyOf,
  createWorld,
  predictions,
  type TestGateway,
  type Told,
  type Way,
  type World,
  type WorldOptions,
} from '../support/pipeline.ts'

/** The burst of `no-cache` is divided by the workers: here one, so that verdicts differ within a few calls. */
const WORKERS = 20

const PLACES = {
  pipeline: { way: 'pipeline', options: { shared: false } },
  'memory hit': { way: 'door', options: { shared: false } },
  'shared hit': { way: 'door', options: { memory: false } },
  'HTTP/2': { way: 'http2', options: { shared: false } },
} as const satisfies Record<string, { readonly way: Way; readonly options: WorldOptions }>
type Place = keyof typeof PLACES

interface Asked {
  readonly by: string
  readonly value: number
  readonly refresh: boolean
}

/** What became of a call: the answer, and whether a backend gave it. */
interface Verdict {
  readonly status: number
  readonly text: string
  readonly isFetched: boolean
}

const headersOf = ({ by, refresh }: Asked): RawPairs => [
  ...(by === '' ? [] : ['authorization', by]),
  ...(refresh ? ['cache-control', 'no-cache'] : []),
]

async function play(
  place: Place,
  calls: readonly Asked[],
  limited: Pick<WorldOptions, 'keys' | 'tenants'> = {},
): Promise<{ verdicts: Verdict[]; told: Told[] }> {
  const { way, options } = PLACES[place]
  const world: World = createWorld({
    ...options,
    ...limited,
    workers: WORKERS,
    cache: { rows: 'never' },
    script: ({ caller, instances }) => predictions(instances.map((value) => `${caller} ${value}`)),
  })
  const one = world.gateways[0] as TestGateway
  const verdicts: Verdict[] = []
  const told: Told[] = []
  for (const asked of calls) {
    const before = world.asked.length
    const answer = await world.run(one.ask(bodyOf([asked.value]), { headers: headersOf(asked), way }))
    // What goes to the tier goes behind the answer.
    await world.pass(100)
    told.push(answer)
    verdicts.push({
      status: answer.status,
      text: answer.text,
      isFetched: world.asked.length > before,
    })
  }
  return { verdicts, told }
}

const calls = fc.array(
  fc.record({
    by: fc.constantFrom('', 'Bearer a', 'Bearer b'),
    value: fc.nat(1),
    refresh: fc.boolean(),
  }),
  { minLength: 1, maxLength: 40, size: 'max' },
)

describe('the same calls by every way', () => {
  it('get the same verdicts and the same answers', async () => {
    await fc.assert(
      fc.asyncProperty(calls, async (asked) => {
        const { verdicts } = await play('pipeline', asked)
        expect((await play('memory hit', asked)).verdicts).toEqual(verdicts)
        expect((await play('shared hit', asked)).verdicts).toEqual(verdicts)
        expect((await play('HTTP/2', asked)).verdicts).toEqual(verdicts)
      }),
      { numRuns: 60 },
    )
  })

  it.each<Place>(['pipeline', 'memory hit', 'shared hit'])(
    'are counted where a %s answers: five calls earn the next refresh',
    async (place) => {
      const of = (refresh: boolean): Asked => ({ by: 'Bearer a', value: 1, refresh })
      const plain = (count: number) => Array.from({ length: count }, () => of(false))
      // The burst is gone with the first refresh; the second is ignored, and the third has been earned.
      const { verdicts, told } = await play(place, [
        ...plain(3),
        of(true),
        ...plain(2),
        of(true),
        ...plain(3),
        of(true),
      ])
      expect(verdicts.map(({ isFetched }) => isFetched)).toEqual([
        true,
        false,
        false,
        true,
        false,
        false,
        false,
        false,
        false,
        false,
        true,
      ])
      expect(told.slice(7, 10).map(({ by }) => by)).toEqual([place, place, place])
    },
  )
})

describe('a rate', () => {
  const keys = ['a', 'b'].map((key) => ({
    hash: `sha256:${Buffer.from(digestOf(key), 'latin1').toString('hex')}`,
    tenant: key,
  }))
  const rate = { requests: { count: 4, perMs: 1000 }, burst: 500 }
  const limited = {
    keys,
    tenants: { a: { rate }, b: { rate, quota: { requests: { count: 9, per: 'day' } } } },
  } as const
  const known = calls.map((asked) => asked.map((one) => ({ ...one, by: one.by || 'Bearer a' })))
  const shown = ({ status, isFetched }: Verdict) => [status, isFetched]

  it('lets through the same calls by every way, of hits and of what is not kept', async () => {
    const places = new Set<string>()
    await fc.assert(
      fc.asyncProperty(known, async (asked) => {
        const verdicts = (await play('pipeline', asked, limited)).verdicts.map(shown)
        for (const place of ['memory hit', 'shared hit'] as const) {
          const played = await play(place, asked, limited)
          expect(played.verdicts.map(shown)).toEqual(verdicts)
          for (const { status, by } of played.told) if (status === 429) places.add(by)
        }
      }),
      { numRuns: 60 },
    )
    expect([...places].sort()).toEqual(['pipeline', 'refusal'])
  })
})
