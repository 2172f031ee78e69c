/**
 * What it costs to know who asks: `node bench/micro/callers.ts`. A hit in memory under a head that was seen before, without
 * identities and with a key, a token and a rate; a head that is new, beside the digest of its key alone; a token that is new; a
 * refusal by the fast path and by the long way. Processor time, medians of interleaved rounds.
 */
import { BlockList } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { digestOf } from '../../src/core/key.ts'
import { silentLog } from '../../src/core/log.ts'
import { Authenticator, type AuthLive, NO_CREDENTIALS } from '../../src/data/auth/authenticator.ts'
import { TenantPolicies } from '../../src/data/auth/policies.ts'
import { Admission } from '../../src/data/decision/admission.ts'
import { createCacheDecisions } from '../../src/data/decision/cache-decision.ts'
import { allocateLimits, LimitTable } from '../../src/data/decision/limit-table.ts'
import { allocateQuotas, QuotaTable } from '../../src/data/decision/quota-table.ts'
import { TenantLimits } from '../../src/data/decision/tenant-limits.ts'
import { FastRefusals } from '../../src/data/hits/fast-refusal.ts'
import { MemoryHits } from '../../src/data/hits/memory-hit.ts'
import { ReadyAnswers } from '../../src/data/hits/ready-answers.ts'
import type { RequestHead } from '../../src/data/ingress/door/head.ts'
import { readHead } from '../../src/data/ingress/door/head.ts'
import { FastRequest, type ResponseWriter } from '../../src/data/ingress/door/request.ts'
import { TextAnswers, type TextWriter } from '../../src/data/ingress/door/text-answers.ts'
import { createIngress, type Ingress } from '../../src/data/ingress/ingress.ts'
import { createKeyer } from '../../src/data/key/keyer.ts'
import { rawDigest } from '../../src/data/key/raw.ts'
import { TenantUsage } from '../../src/data/measure/tenant-usage.ts'
import { createRouter, type RouteCache } from '../../src/data/route/routes.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { median } from '../lib/stats.ts'

const ROUNDS = 15
const CALLS = 100_000
/** As long as those of `infergate keys new`. */
const KEY = `ig_${'k'.repeat(43)}`
const WRONG = 'x'.repeat(KEY.length)
const BODY = Buffer.from('{"instances":[[1,2,3,4,5,6,7,8]]}')
const CACHE: RouteCache = {
  ttl: 3_600_000,
  jitter: 0,
  rows: 'never',
  scope: 'caller',
  vary: [],
  leases: 'never',
  tags: [],
  maxEntryBytes: 65_536,
  staleWhileRevalidate: 0,
  staleIfError: 0,
  negativeTtl: 0,
  heedBackend: true,
}

const pair = await generateKeyPair('ES256')
const jwk = { ...(await exportJWK(pair.publicKey)), kid: 'k', alg: 'ES256' }
const token = (jti: string) =>
  new SignJWT({ sub: 'ann', team: 'research', jti })
    .setProtectedHeader({ alg: 'ES256', kid: 'k' })
    .setIssuer('i')
    .setAudience('a')
    .setExpirationTime('1h')
    .sign(pair.privateKey)
const clock = systemClock
const parts = {
  settings: {
    keys: [{ hash: `sha256:${Buffer.from(digestOf(KEY), 'latin1').toString('hex')}`, tenant: 'mobile' }],
    jwt: [
      {
        issuer: 'i',
        audience: ['a'],
        jwks: 'x',
        algorithms: ['ES256'],
        tenant: 'claim.team',
        subject: 'claim.sub',
        clockTolerance: 30_000,
      },
    ],
    forward: false,
    required: true,
  },
  credentials: { ...NO_CREDENTIALS, jwks: { x: [jwk] } },
  proxies: new BlockList(),
  keyMissing: async () => {},
  clock,
}
const withRate = { '*': { rate: { requests: { count: 1e12, perMs: 1000 }, burst: 1000 } } }
const plain = new Authenticator({ ...parts, policies: undefined })
const limited = new Authenticator({ ...parts, policies: new TenantPolicies(withRate) })
const spent = new Authenticator({
  ...parts,
  policies: new TenantPolicies({ '*': { rate: { requests: { count: 1, perMs: 3_600_000 }, burst: 1 } } }),
})
const withQuota = { '*': { ...withRate['*'], quota: { requests: { count: 1e15, per: 'month' as const } } } }
const bounded = new Authenticator({ ...parts, policies: new TenantPolicies(withQuota) })

const writer: ResponseWriter & TextWriter = {
  peer: '127.0.0.1',
  connectionFields: () => 'Connection: keep-alive\r\n',
  mintId: () => 'id',
  send: () => {},
  out: { pass: () => true, drained: async () => {}, sendReady: () => {} },
  answered: () => {},
  cut: () => {},
  pause: () => {},
  resume: () => {},
}
const answers = new TextAnswers(writer)
const silent = { answered: () => {} } as unknown as Parameters<typeof createIngress>[0]['observer']
/** Counts what tenants use, as the gateway's does. */
const counting = new TenantUsage().observing(silent)
const wheel = new Wheel(clock)
const facts = {
  epochs: {
    revision: 1,
    peek: () => ({ values: ['e'], shared: true }),
    load: async () => ({ values: ['e'], shared: true }),
  },
  deployments: {
    revision: 1,
    peek: () => ({ value: 'd', shared: true, writable: true }),
    load: async () => ({ value: 'd', shared: true, writable: true }),
  },
} as unknown as Omit<Parameters<typeof createKeyer>[0], 'clock'>

/** The short way of a hit, and the door's long way for what is none. */
function side(auth: Authenticator | undefined, fields: string, observer = counting) {
  const route = {
    name: 'main',
    match: {},
    protocols: [tfserving],
    pool: 'p',
    timeout: 60_000,
    pure: true,
    cache: CACHE,
    ...(auth && { auth: 'required' as const }),
  }
  const live: AuthLive = { route: createRouter([route]), maxBodyBytes: 1 << 20, auth }
  const decisions = createCacheDecisions(createKeyer({ ...facts, clock }))
  const ready = new ReadyAnswers({ maxBytes: 1 << 20, clock })
  const viewer = { worker: 0, now: () => clock.now() }
  const bytes = allocateLimits(1)
  const table = new LimitTable(bytes, viewer)
  const quotas = new QuotaTable(allocateQuotas(clock.wall() - clock.now()), bytes.terms, viewer)
  const admission = new Admission({ limits: new TenantLimits({ limits: table, quotas }) })
  const fastRefusal = new FastRefusals({ live: () => live, admission, observer, clock })
  const memoryHit = new MemoryHits({
    live: () => live,
    decisions,
    ready,
    admission,
    memory: 'memory',
    observer,
    clock,
  })
  const reply = {
    status: 200,
    headers: ['content-type', 'application/json'],
    body: Buffer.from('{"predictions":[1]}'),
  }
  const entry = { createdAt: Date.now(), ttlMs: 3_600_000, swrMs: 0, sieMs: 0 }
  const ingress = createIngress({
    live: () => live,
    answer(call, matched, notes) {
      const decision = decisions.of(call, matched, notes)
      const prefix = 'key' in decision ? decision.key?.prefix : undefined
      ready.set(rawDigest(prefix ?? '', BODY), reply, [entry as never])
      return { reply, outcome: { kind: 'none' } }
    },
    memoryHit,
    fastRefusal,
    observer,
    log: silentLog,
    clock,
    wheel,
    mintId: () => '1',
  })
  const text = `POST /v1/models/m:predict HTTP/1.1\r\nHost: gateway.example\r\nUser-Agent: bench\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n${fields}\r\n`
  return { ingress, head: readHead(Buffer.from(text)) as RequestHead }
}

function serve({ ingress, head }: { ingress: Ingress; head: RequestHead }): void {
  const request = new FastRequest(writer, head)
  request.take(BODY)
  ingress.serve(request)
}

function refuse({ ingress, head }: { ingress: Ingress; head: RequestHead }): void {
  if (!ingress.fastRefusal.answer(head, answers)) throw new Error('not refused')
}

/** The field of a head; its value is a part of a text, as in the head that it came in: nothing is remembered of it. */
const fieldOf = (line: string) => ['Authorization', line.slice('Authorization: '.length)]
const digestIn = (line: string) => digestOf(line.slice('Authorization: Bearer '.length))
const lineOf = (secret: string) => Buffer.from(`Authorization: Bearer ${secret}`).toString('latin1')

const first = await token('0')
const [keyLine, tokenLine, wrongLine] = [lineOf(KEY), lineOf(first), lineOf(WRONG)]
const sides = {
  'hit, nobody is asked': side(undefined, ''),
  'hit, nobody is asked (again)': side(undefined, ''),
  'hit, by key': side(plain, `Authorization: Bearer ${KEY}\r\n`),
  'hit, by key, not counted': side(plain, `Authorization: Bearer ${KEY}\r\n`, silent),
  'hit, by token': side(plain, `Authorization: Bearer ${first}\r\n`),
  'hit, by key, with a rate': side(limited, `Authorization: Bearer ${KEY}\r\n`),
  'hit, by key, with a rate and a quota': side(bounded, `Authorization: Bearer ${KEY}\r\n`),
}
await plain.identify(['Authorization', `Bearer ${first}`], writer)
const refused = side(plain, `Authorization: Bearer ${WRONG}\r\n`)
serve(refused)
const overRate = side(spent, `Authorization: Bearer ${KEY}\r\n`)
serve(overRate)
// Uses the rate up.
overRate.ingress.memoryHit.answer(overRate.head, [BODY], answers)
for (const one of Object.values(sides)) {
  serve(one)
  await new Promise(setImmediate)
  if (!one.ingress.memoryHit.answer(one.head, [BODY], answers)) throw new Error('no hit')
}
const measured: Record<string, () => void> = {
  ...Object.fromEntries(
    Object.entries(sides).map(([name, { ingress, head }]) => [
      name,
      () => void ingress.memoryHit.answer(head, [BODY], answers),
    ]),
  ),
  'refused, a head seen before': () => refuse(refused),
  'refused, a rate that is used up': () => refuse(overRate),
  'refused by the long way': () => serve(refused),
  'long way, answered at once': () => serve(sides['hit, by key']),
  'identify by key, a new head': () => void plain.identify(fieldOf(keyLine), writer),
  'the digest of a key alone': () => void digestIn(keyLine),
  'identify by token seen before': () => void plain.identify(fieldOf(tokenLine), writer),
  'the digest of a token alone': () => void digestIn(tokenLine),
  'identify, a wrong key': () => void plain.identify(fieldOf(wrongLine), writer),
}
const times = new Map(Object.keys(measured).map((name) => [name, [] as number[]]))
for (let round = -2; round < ROUNDS; round++) {
  for (const [name, work] of Object.entries(measured)) {
    const before = process.cpuUsage()
    for (let i = 0; i < CALLS; i++) work()
    const { user, system } = process.cpuUsage(before)
    if (round >= 0) times.get(name)?.push((user + system) / CALLS)
  }
}
console.log(`Node ${process.version}, ${ROUNDS} rounds of ${CALLS} calls each, medians of processor time`)
for (const [name, all] of times) console.log(`${name.padEnd(38)} ${median(all).toFixed(2)} µs`)
const tokens = await Promise.all(Array.from({ length: 2000 }, (_, i) => token(`${i + 1}`)))
const before = process.cpuUsage()
for (const text of tokens) await plain.identify(['Authorization', `Bearer ${text}`], writer)
const { user, system } = process.cpuUsage(before)
console.log(`${'a new token, ES256'.padEnd(38)} ${((user + system) / tokens.length).toFixed(0)} µs`)
wheel.close()
