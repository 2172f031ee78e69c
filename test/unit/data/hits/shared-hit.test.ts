import { describe, expect, it } from 'vitest'
import { header, type RawPairs } from '../../../../src/core/call.ts'
import { type Digest, digestOf } from '../../../../src/core/key.ts'
import { silentLog } from '../../../../src/core/log.ts'
import type { Answered } from '../../../../src/core/observer.ts'
import { type Entry, encode } from '../../../../src/data/cache/entry.ts'
import { createTiered } from '../../../../src/data/cache/tiered.ts'
import { guardTier } from '../../../../src/data/cache/tiers/guard.ts'
import { Admission } from '../../../../src/data/decision/admission.ts'
import { createCacheDecisions } from '../../../../src/data/decision/cache-decision.ts'
import type { HeadNotes } from '../../../../src/data/exchange/exchange.ts'
import { replyHead } from '../../../../src/data/exchange/reply-head.ts'
import { Aliases } from '../../../../src/data/hits/aliases.ts'
import { createSharedHit } from '../../../../src/data/hits/shared-hit.ts'
import { cacheStatus } from '../../../../src/data/http/status.ts'
import { FastRequest } from '../../../../src/data/ingress/door/request.ts'
import { Http2Stream } from '../../../../src/data/ingress/h2/stream.ts'
import { Deployments } from '../../../../src/data/key/deployment.ts'
import { Epochs } from '../../../../src/data/key/epochs.ts'
import { createKeyer } from '../../../../src/data/key/keyer.ts'
import { principalOf } from '../../../../src/data/key/meaning.ts'
import { rawDigest } from '../../../../src/data/key/raw.ts'
import { createRouter } from '../../../../src/data/route/routes.ts'
import type { TierMiss } from '../../../../src/data/rows/lookup-context.ts'
import { tfserving } from '../../../../src/protocol/tfserving/tfserving.ts'
import { anEntry } from '../../../support/entries.ts'
import { eventually } from '../../../support/eventually.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { FakeTier } from '../../../support/fake-tier.ts'
import { Http2Line } from '../../../support/http2-line.ts'
import { silentObserver } from '../../../support/observer.ts'
import { CACHE } from '../../../support/pipeline.ts'
import { settled } from '../../../support/settled.ts'

const PATH = '/v1/models/m:predict'
const CONNECTION = 'Connection: keep-alive\r\n'
const BODY = Buffer.from('{"instances":[[1]]}')
const WHOLE = digestOf('the whole call')
const ANSWER = Buffer.from('{"predictions":[1]}')

type Over = Partial<HeadNotes & { method: 'POST' | 'HEAD' }>

async function setup() {
  const clock = new FakeClock()
  const tier = new FakeTier({ name: 'shared', clock })
  const cache = createTiered({ tiers: [guardTier(tier, { clock, random: () => 0.5 })], clock })
  const facts = { shared: undefined, clock, log: silentLog, changed: () => {} }
  const decisions = createCacheDecisions(
    createKeyer({ epochs: new Epochs(facts), deployments: new Deployments(facts), clock: facts.clock }),
  )
  const aliases = new Aliases(clock)
  const route = {
    name: 'main',
    match: {},
    protocols: [tfserving],
    pool: 'main',
    timeout: 1000,
    pure: true,
    cache: CACHE,
  }
  const live = { route: createRouter([route]), maxBodyBytes: 100 }
  const told: Answered[] = []
  const sharedHit = createSharedHit({
    live: () => live,
    decisions,
    aliases,
    cache,
    mayGive: () => true,
    forms: { shown: () => 0 },
    ready: undefined,
    admission: new Admission(),
    observer: { ...silentObserver, answered: (one) => void told.push({ ...one }) },
    clock,
  })

  /** A request under a head that came before, and what went back for it. */
  async function asked(more: RawPairs = [], over: Over = {}) {
    const { method = 'POST', ...noted } = over
    const headers = ['Host', 'h', 'Content-Type', 'application/json', ...more]
    const matched = live.route({ method: 'POST', path: PATH, host: 'h', headers })
    if (!matched) throw new Error('no route')
    const principal = principalOf(headers)
    const notes: HeadNotes = {
      live,
      matched,
      path: PATH,
      query: '',
      headers,
      principal,
      timeout: Number.POSITIVE_INFINITY,
    }
    const of = { method, target: matched.target, path: PATH, query: '', headers, host: 'h', principal }
    // Asked for the first time, it makes what it is made of.
    await settled(clock, Promise.resolve(decisions.of(of, matched, notes)))
    const { value: decision } = await settled(clock, Promise.resolve(decisions.of(of, matched, notes)))
    Object.assign(notes, noted)
    const sent: string[] = []
    let cuts = 0
    const line = {
      peer: '127.0.0.1',
      connectionFields: () => CONNECTION,
      mintId: () => 'id',
      send: (head: string, body?: Uint8Array) =>
        void sent.push(head + Buffer.from(body ?? []).toString('latin1')),
      out: { pass: () => true, drained: async () => {} },
      answered: () => {},
      cut: () => void cuts++,
      pause: () => {},
      resume: () => {},
    }
    const request = new FastRequest(line, {
      method,
      target: PATH,
      headers,
      host: 'h',
      notes,
      length: BODY.length,
      bytes: 0,
      text: '',
      requestId: '',
    })
    request.take(BODY)
    const raw = decision.key ? rawDigest(decision.key.prefix, BODY) : undefined
    const long: TierMiss[] = []
    const run = () => sharedHit(request, (_, what) => void long.push(what))
    return { request, raw: raw as Digest, sent, long, run, cuts: () => cuts }
  }

  async function keep(over: Partial<Entry> = {}): Promise<Entry> {
    const entry: Entry = {
      ...anEntry('kept'),
      kind: 'reply',
      digest: WHOLE,
      status: 200,
      headers: ['content-type', 'application/json'],
      body: ANSWER,
      createdAt: clock.wall(),
      ttlMs: 60_000,
      swrMs: 0,
      sieMs: 0,
      ...over,
    }
    await tier.set(WHOLE, encode(entry), 1e9)
    return entry
  }

  return { clock, tier, aliases, cache, told, asked, keep, sharedHit }
}

describe('the short way of a hit in a shared tier', () => {
  it('gives the bytes that the long way gives, and tells of them', async () => {
    const { clock, aliases, told, asked, keep } = await setup()
    const { headers } = await keep({ createdAt: clock.wall() - 2500 })
    const { raw, sent, run, long } = await asked()
    aliases.set(raw, WHOLE)
    expect(run()).toBe(true)
    expect(sent).toEqual([])
    await eventually(() => expect(sent).toHaveLength(1))
    const outcome = { kind: 'hit' as const, tier: 'shared', ageMs: 2500, ttlMs: 57_500 }
    const fields = [...headers, 'Cache-Status', cacheStatus(outcome) as string, 'Age', '2']
    const length = ANSWER.length
    // Date stands where it stands, and is the machine's at the long way's.
    const plain = (text: string) => text.replace(/Date: [^\r]*\r\n/, 'Date\r\n')
    expect(plain(sent[0] as string)).toBe(
      plain(`${replyHead(200, fields, { length, connection: CONNECTION, requestId: 'id' })}${ANSWER}`),
    )
    expect(told).toMatchObject([{ route: 'main', model: 'm', status: 200, outcome, door: 'fast' }])
    expect(long).toEqual([])
  })

  it.each([
    ['absent', undefined, false],
    ['dead', { ttlMs: 1 }, false],
    ['too old for all but errors', { ttlMs: 1, sieMs: 60_000 }, true],
    ['not to be sent as it is', { headers: ['x', 'a\nb'] }, false],
  ])('goes the long way with what is %s, once', async (_, entry, isFallback) => {
    const { clock, tier, aliases, told, asked, keep } = await setup()
    if (entry) await keep({ createdAt: clock.wall() - 10, ...entry })
    const { raw, sent, run, long } = await asked()
    aliases.set(raw, WHOLE)
    tier.calls = 0
    expect(run()).toBe(true)
    await eventually(() => expect(long).toHaveLength(1))
    expect(long[0]?.fallback?.digest).toBe(isFallback ? WHOLE : undefined)
    expect([sent, told, tier.calls]).toEqual([[], [], 1])
  })

  it('goes the long way when the tier fails', async () => {
    const { tier, aliases, asked, keep } = await setup()
    await keep()
    const { raw, run, long } = await asked()
    aliases.set(raw, WHOLE)
    tier.fault = () => 'error'
    expect(run()).toBe(true)
    await eventually(() => expect(long).toHaveLength(1))
  })

  it('answers nobody who has left', async () => {
    const { aliases, told, asked, keep, cache } = await setup()
    await keep()
    const { request, raw, sent, run, long, cuts } = await asked()
    aliases.set(raw, WHOLE)
    expect(run()).toBe(true)
    request.onAbort?.()
    const later = await cache.lookup([WHOLE])
    expect(later[0]?.tier).toBe('shared')
    expect([sent, long, cuts()]).toEqual([[], [], 1])
    expect(told).toMatchObject([{ status: 499, fault: 'callerLeft', outcome: { kind: 'none' } }])
  })

  it.each<[string, RawPairs, Over]>([
    ['no-cache', ['Cache-Control', 'no-cache'], {}],
    ['no-transform', ['Cache-Control', 'no-transform'], {}],
    ['a caller in a hurry', [], { timeout: 10 }],
    ['a head that was never routed', [], { live: {} }],
    ['HEAD', [], { method: 'HEAD' }],
  ])('does nothing for %s', async (_, headers, over) => {
    const { tier, aliases, asked, keep } = await setup()
    await keep()
    const { raw, run, long } = await asked(headers, over)
    if (raw) aliases.set(raw, WHOLE)
    tier.calls = 0
    expect(run()).toBe(false)
    expect([tier.calls, long]).toEqual([0, []])
  })

  it('does nothing for bytes that were never read', async () => {
    const { asked, keep } = await setup()
    await keep()
    expect((await asked()).run()).toBe(false)
  })

  it('answers over HTTP/2 as well', async () => {
    const { clock, aliases, told, asked, keep, sharedHit } = await setup()
    await keep({ createdAt: clock.wall() - 2500 })
    const { raw, request } = await asked()
    aliases.set(raw, WHOLE)
    const line = new Http2Line()
    const options = {
      connection: line,
      fields: [],
      mintId: () => 'id',
      isEnded: false,
      sendWindow: 1e6,
      receiveWindow: 1e6,
    }
    const { method, target, headers, host, notes } = request
    const head = { method, target, headers, host, notes, length: undefined, expectsContinue: false }
    const stream = new Http2Stream(1, head, options)
    stream.received(BODY, BODY.length)
    stream.remoteEnded()
    expect(sharedHit(stream, () => expect.unreachable('it is in the tier'))).toBe(true)
    await eventually(() => expect(stream.isClosed).toBe(true))
    const { headers: fields, text } = line.read('POST')
    expect(text).toBe(String(ANSWER))
    const outcome = { kind: 'hit' as const, tier: 'shared', ageMs: 2500, ttlMs: 57_500 }
    expect(header(fields, 'cache-status')).toBe(cacheStatus(outcome))
    expect(told).toMatchObject([{ route: 'main', model: 'm', status: 200, outcome, door: 'h2' }])
  })
})
