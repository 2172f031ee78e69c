import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addStreams } from '../../../../src/core/load.ts'
import { StreamCounts } from '../../../../src/data/measure/stream-counts.ts'
import { EventCounter, StreamMeter } from '../../../../src/data/measure/stream-meter.ts'
import { bucketOf } from '../../../../src/lib/log-histogram.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

function metered(inflightAtStart: number, inflight = inflightAtStart) {
  const clock = new FakeClock()
  const counts = new StreamCounts()
  const call = { inflightAtStart, waitedMs: 40, inflight: () => inflight, now: () => clock.now() }
  return { clock, counts, meter: new StreamMeter(counts, call, clock.now()) }
}

describe('a generation that streams', () => {
  it('is counted by its first piece, the pauses between pieces and how many there are', () => {
    const { clock, counts, meter } = metered(2, 5)
    clock.advance(100)
    meter.came(1)
    for (let i = 0; i < 40; i++) {
      clock.advance(20)
      meter.came(1)
    }
    // The first stretch is told of while it runs.
    expect(counts.read()?.bins.find(({ inflight }) => inflight === 4)).toMatchObject({
      gaps: 32,
      sumGapMs: 640,
    })
    meter.end()
    const report = counts.read()
    expect(report).toMatchObject({ finished: 1, pieces: 41, squaredPieces: 1681 })
    expect(report?.bins).toMatchObject([{ inflight: 4, gaps: 8, sumInflight: 40, sumGapMs: 160 }])
    expect(counts.read()).toBeUndefined()
  })

  it('is late by its wait for its caller, and not for its backend', () => {
    const { clock, counts, meter } = metered(1)
    clock.advance(100)
    meter.came(3)
    const report = counts.read()
    expect(report?.bins[0]).toMatchObject({ inflight: 1, firsts: 1, sumFirstMs: 100 })
    expect(report?.bins[0]?.first[bucketOf(100)]).toBe(1)
    expect(report?.latency[bucketOf(140)]).toBe(1)
  })

  it('says nothing while its backend warms up, nor when nothing came', () => {
    const { counts, meter } = metered(0)
    meter.came(1)
    meter.end()
    metered(1).meter.end()
    expect(counts.read()).toBeUndefined()
  })

  it('adds up over workers and gateways', () => {
    const report = () => {
      const { clock, counts, meter } = metered(3)
      clock.advance(10)
      meter.came(1)
      clock.advance(10)
      meter.came(1)
      meter.end()
      return counts.read()
    }
    const [one, other] = [report(), report()]
    const sum = addStreams(one, other)
    expect(sum).toMatchObject({ finished: 2, pieces: 4, squaredPieces: 8 })
    expect(sum?.bins).toMatchObject([{ inflight: 3, firsts: 2, gaps: 2, sumInflight: 6, sumGapMs: 20 }])
    expect(addStreams(undefined, one)).toBe(one)
    expect(addStreams(one, undefined)).toBe(one)
  })
})

describe('the events of a stream', () => {
  it.each(['\n', '\r\n'])('are counted by their empty lines, wherever the stream is cut: %j', (end) => {
    const event = fc.array(fc.constantFrom('data: {"a":1}', ': ping', 'event: x', 'data:'), { minLength: 1 })
    fc.assert(
      fc.property(fc.array(event), fc.array(fc.nat(40)), (events, cuts) => {
        const text = events.map((lines) => lines.join(end) + end + end).join('')
        const bytes = Buffer.from(text)
        const counter = new EventCounter()
        let counted = 0
        let from = 0
        for (const cut of [...cuts, bytes.length]) {
          counted += counter.count(bytes.subarray(from, from + cut))
          from = Math.min(bytes.length, from + cut)
        }
        // A stream that begins with an empty line would have one more.
        expect(counted).toBe(events.length)
      }),
    )
  })
})
