// Pools of servers that generate tokens: how many calls a replica bears, and what is said of it.
import { describe, expect, it } from 'vitest'
import { binOf, type StreamBin, type StreamReport } from '../../../../src/core/load.ts'
import { bucketOf, HISTOGRAM_SIZE } from '../../../../src/lib/log-histogram.ts'
import { even, Feed } from './feed.ts'

interface World {
  readonly perSecond: number
  readonly pieces: number
  readonly ready?: number
  readonly firstMs?: number
  /** The pause between tokens with so many calls at a replica. */
  readonly pace?: (inflight: number) => number
  readonly reported?: { readonly waiting: number; readonly room: number }
}

const linear = (inflight: number) => 10 + inflight

/** A server's state at an even load: as many calls run as its pace at that number makes of it. */
function inflightAt({ perSecond, pieces, ready = 2, firstMs = 100, pace = linear }: World): number {
  let inflight = 1
  for (let i = 0; i < 200; i++)
    inflight = ((perSecond / ready) * (firstMs + (pieces - 1) * pace(Math.min(inflight, 500)))) / 1000
  return Math.min(500, inflight)
}

function streamsOf(world: World, spanMs: number): StreamReport {
  const { perSecond, pieces, firstMs = 100, pace = linear } = world
  const calls = (perSecond * spanMs) / 1000
  const histogram = new Array<number>(HISTOGRAM_SIZE).fill(0)
  histogram[bucketOf(firstMs)] = calls
  const middle = inflightAt(world)
  // Calls come and go: sometimes there are fewer, sometimes more.
  const bins = [0.4, 1, 1.4].map((share): StreamBin => {
    const inflight = Math.max(1, Math.round(middle * share))
    const gaps = (calls * (pieces - 1)) / 3
    const ms = pace(inflight)
    return {
      inflight: binOf(inflight),
      firsts: calls / 3,
      sumFirstMs: (calls / 3) * firstMs,
      first: histogram.map((n) => n / 3),
      gaps,
      sumInflight: inflight * gaps,
      sumGapMs: ms * gaps,
      sumGapSquaresMs: ms * ms * gaps,
    }
  })
  return {
    bins,
    latency: histogram,
    finished: calls,
    pieces: calls * pieces,
    squaredPieces: calls * pieces * pieces,
  }
}

const OPTIONS = { max: 50, sloMs: 300, itlMs: 50 }

function fed(options: Partial<Feed['options']> = {}): Feed {
  const feed = new Feed({ ...OPTIONS, ...options })
  // Nobody declares the places.
  delete (feed.options as { slots?: number }).slots
  return feed
}

/** What the servers do with few calls and with many was seen before. */
function experienced(options: Partial<Feed['options']> = {}): Feed {
  const feed = fed(options)
  run(feed, 30_000, { perSecond: 33, pieces: 100, ready: 4 })
  return feed
}

function run(feed: Feed, forMs: number, world: World): void {
  const end = feed.now + forMs
  while (feed.now < end) {
    feed.now += 500
    const ready = world.ready ?? (Number.isNaN(feed.desired) ? 2 : feed.desired)
    const at = { ...world, ready }
    const inflight = inflightAt(at) * ready
    const base = even(feed.now, 500, {
      perSecond: world.perSecond,
      serviceMs: (inflight / world.perSecond) * 1000,
      ready,
    })
    feed.give({
      ...base,
      streams: streamsOf(at, 500),
      ...(world.reported ? { reported: world.reported } : {}),
    })
  }
}

describe('a pool that is scaled by tokens', () => {
  it('finds how many calls a replica bears by the pause between tokens', () => {
    const feed = experienced()
    run(feed, 120_000, { perSecond: 20, pieces: 100 })
    const { signals, sentence } = feed.last
    // 10 + n milliseconds are 50 with 40 calls, and 20 a second of 100 tokens keep 102 places busy.
    expect(signals.slotsPerReplica).toBeGreaterThanOrEqual(37)
    expect(signals.slotsPerReplica).toBeLessThanOrEqual(41)
    expect(signals.tokens?.boundBy).toBe('itl')
    expect(signals.tokens?.perSecond).toBeCloseTo(2000, 5)
    expect(signals.tokens?.replicaPerSecond).toBeCloseTo(800, -2)
    expect(signals.erlangs).toBeGreaterThan(90)
    expect(signals.erlangs).toBeLessThan(110)
    expect(feed.desired).toBeGreaterThanOrEqual(Math.ceil(signals.slotsNeeded / signals.slotsPerReplica))
    expect(sentence).toMatch(
      /20 generations\/s of 100 tokens keep \d+ places busy and need \d+; a replica has \d+, at \d+ ms a token: \d+ tokens\/s/,
    )
  })

  it('tells long generations from short ones at the same rate', () => {
    const desired = (pieces: number) => {
      const feed = experienced()
      run(feed, 120_000, { perSecond: 20, pieces })
      return feed.desired
    }
    const [short, long] = [desired(50), desired(400)]
    expect(long).toBeGreaterThan(4 * short)
  })

  it('takes no more calls than a replica has memory for, as its metrics page shows', () => {
    const feed = experienced()
    run(feed, 120_000, { perSecond: 20, pieces: 100, reported: { waiting: 0, room: 20 } })
    expect(feed.last.signals).toMatchObject({ slotsPerReplica: 18, tokens: { boundBy: 'memory' } })
    expect(feed.last.sentence).toContain('18, for which its memory has room, at')
  })

  it('keeps to what is declared where the pace allows more', () => {
    const feed = experienced()
    Object.assign(feed.options, { slots: 8 })
    run(feed, 120_000, { perSecond: 20, pieces: 100 })
    expect(feed.last.signals).toMatchObject({ slotsPerReplica: 8, tokens: { boundBy: 'declared' } })
  })

  it('counts calls that wait in backends as waiting, once they have done so for two reports', () => {
    const feed = fed()
    const world = { perSecond: 20, pieces: 100 }
    run(feed, 60_000, { ...world, reported: { waiting: 0, room: 0 } })
    run(feed, 500, { ...world, reported: { waiting: 7, room: 0 } })
    expect(feed.last.signals.queue).toBe(0)
    run(feed, 500, { ...world, reported: { waiting: 7, room: 0 } })
    expect(feed.last.signals.queue).toBe(7)
  })

  it('says which promise no number of replicas keeps, and sizes by utilisation then', () => {
    const slow = fed()
    run(slow, 120_000, { perSecond: 20, pieces: 100, pace: () => 80 })
    expect(slow.last.sloFeasible).toBe(false)
    expect(slow.last.sentence).toMatch(
      /50 ms between tokens cannot be kept by any number of replicas, a replica with one call takes 80 ms/,
    )
    const late = fed()
    run(late, 120_000, { perSecond: 20, pieces: 100, firstMs: 500 })
    expect(late.last.sloFeasible).toBe(false)
    expect(late.last.sentence).toMatch(/300 ms to the first token cannot be kept by any number of replicas/)
    expect(late.desired).toBeLessThan(late.options.max)
  })

  it('does nothing before a generation was measured, and nothing for hits', () => {
    const feed = fed()
    feed.run(60_000, { perSecond: 0, ready: 2, rest: { streams: undefined } })
    expect(feed.last.reason).toBe('hold_no_data')
    run(feed, 60_000, { perSecond: 20, pieces: 100 })
    const { desired } = feed
    feed.now += 500
    const hits = even(feed.now, 500, { perSecond: 20, ready: desired })
    feed.give({
      ...hits,
      buckets: hits.buckets.map((bucket) => ({ ...bucket, answered: 500 })),
      streams: undefined,
    })
    expect(feed.desired).toBeLessThanOrEqual(desired)
  })
})
