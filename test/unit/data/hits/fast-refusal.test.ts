import { BlockList } from 'node:net'
import { SignJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import { header, type RawPairs } from '../../../../src/core/call.ts'
import type { TenantSettings } from '../../../../src/core/identity.ts'
import { digestOf } from '../../../../src/core/key.ts'
import { silentLog } from '../../../../src/core/log.ts'
import { Authenticator, type AuthLive, NO_CREDENTIALS } from '../../../../src/data/auth/authenticator.ts'
import { TenantPolicies } from '../../../../src/data/auth/policies.ts'
import { Admission } from '../../../../src/data/decision/admission.ts'
import { TenantLimits } from '../../../../src/data/decision/tenant-limits.ts'
import { FastRefusals } from '../../../../src/data/hits/fast-refusal.ts'
import { createIngress } from '../../../../src/data/ingress/ingress.ts'
import { Cors } from '../../../../src/data/route/cors.ts'
import { createRouter, type Route } from '../../../../src/data/route/routes.ts'
import { Wheel } from '../../../../src/lib/wheel.ts'
import { oip } from '../../../../src/protocol/oip/oip.ts'
import { tfserving } from '../../../../src/protocol/tfserving/tfserving.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { tenantTables } from '../../../support/tenant-tables.ts'
import { TestDoor } from '../../../support/test-door.ts'

interface Settings {
  readonly keys?: readonly string[]
  readonly tenants?: Readonly<Record<string, TenantSettings>>
  readonly routes?: readonly Partial<Route>[]
}

type Door = 'ask' | 'askHttp2'
const DOORS = [
  ['HTTP/1.1', 'ask'],
  ['HTTP/2', 'askHttp2'],
] as const

interface Asked {
  readonly method?: string
  readonly target?: string
  readonly body?: string
}

const ISSUER = {
  issuer: 'https://issuer.example',
  audience: ['a'],
  jwks: 'x',
  algorithms: ['HS256'],
  tenant: 'claim.sub',
  subject: 'claim.sub',
  clockTolerance: 0,
}

function settings(clock: FakeClock, { keys = ['good'], tenants, routes = [{}] }: Settings): AuthLive {
  const auth = new Authenticator({
    settings: {
      keys: keys.map((key) => ({
        hash: `sha256:${Buffer.from(digestOf(key), 'latin1').toString('hex')}`,
        tenant: 'team',
      })),
      jwt: [ISSUER],
      forward: false,
      required: true,
    },
    credentials: NO_CREDENTIALS,
    policies: tenants && new TenantPolicies(tenants),
    proxies: new BlockList(),
    keyMissing: async () => {},
    clock,
  })
  const route = {
    ...{ name: 'main', match: {}, protocols: [tfserving, oip], pool: 'main', timeout: 1000, pure: true },
    ...{ cache: undefined, auth: 'required' as const },
  }
  return { route: createRouter(routes.map((one) => ({ ...route, ...one }))), maxBodyBytes: 100, auth }
}

/** A door, before a backend that says "served". */
function setup(first: Settings = {}, over: Door = 'ask') {
  const clock = new FakeClock()
  const door = new TestDoor()
  let live = settings(clock, first)
  const { observer } = door
  const admission = new Admission({ limits: new TenantLimits(tenantTables(() => clock.now())) })
  const ingress = createIngress({
    live: () => live,
    answer({ identity, principal }) {
      const verdict = admission.admit(identity, principal, 'answer')
      if (verdict instanceof Error) throw verdict
      return { reply: { status: 200, headers: [], body: Buffer.from('served') }, outcome: { kind: 'none' } }
    },
    fastRefusal: new FastRefusals({ live: () => live, admission, observer, clock }),
    observer,
    log: silentLog,
    clock,
    wheel: new Wheel(clock),
    mintId: () => 'id',
  })
  return {
    clock,
    reload(next: Settings) {
      live = settings(clock, next)
    },
    /** What was said, and by which way. */
    async ask(
      headers: RawPairs = ['authorization', 'Bearer wrong'],
      { method = 'POST', target = '/v1/models/m:predict', body }: Asked = {},
    ) {
      const bytes = Buffer.from(body ?? (method === 'POST' ? '{}' : ''))
      const told = await door[over](ingress, { method, target, headers, body: bytes })
      const { ms: _, ...answered } = told.answered
      return { ...told, answered, status: answered.status }
    },
  }
}

const rate = { requests: { count: 2, perMs: 1000 }, burst: 1000 }
const KEY: RawPairs = ['authorization', 'Bearer good']

describe.each<readonly [string, Door]>(DOORS)(
  'under a head that is known to be refused, over %s',
  (_, over) => {
    it.each<[string, number, Settings, RawPairs, Asked]>([
      ['a wrong key', 401, {}, ['authorization', 'Bearer wrong'], {}],
      ['no key, for the head alone', 401, {}, [], { method: 'HEAD', target: '/v1/models/m' }],
      ['no key, in another dialect', 401, {}, [], { target: '/v2/models/m/infer' }],
      ['no key, where there is no route', 401, {}, [], { target: '/nowhere' }],
      ['a key, where there is no route', 404, {}, KEY, { target: '/nowhere' }],
      ['a model of others', 403, { tenants: { team: { models: ['other'] } } }, KEY, {}],
      ['a tenant that may have nothing', 403, { tenants: {} }, KEY, {}],
    ])('is told the same as on the long way: %s', async (_, status, given, headers, asked) => {
      const { ask } = setup(given, over)
      const slow = await ask(headers, asked)
      const fast = await ask(headers, asked)
      expect([slow.by, fast.by]).toEqual(['pipeline', 'refusal'])
      expect(fast).toEqual({ ...slow, by: 'refusal' })
      expect(fast.status).toBe(status)
      const error = status === 404 ? 'destination_not_found' : 'http_request_denied'
      expect(header(fast.headers, 'proxy-status')).toContain(`error=${error};`)
      expect(fast.text === '').toBe(asked.method === 'HEAD')
    })

    it('pages of other origins are told what they may read', async () => {
      const cors = new Cors({
        origins: ['https://app.example'],
        methods: ['POST'],
        headers: [],
        exposeHeaders: [],
        credentials: false,
        maxAge: 0,
      })
      const { ask } = setup({ routes: [{ cors }] }, over)
      for (const origin of ['https://app.example', 'https://evil.example', 'https://app.example']) {
        const slow = await ask(['origin', origin, 'x-once', `${Math.random()}`])
        await ask(['origin', origin])
        const fast = await ask(['origin', origin])
        expect(fast).toEqual({ ...slow, by: 'refusal' })
        expect(header(fast.headers, 'access-control-allow-origin')).toBe(
          origin === 'https://app.example' ? origin : undefined,
        )
      }
    })

    it('whoever is let in by other settings is let in, and whoever is not is refused', async () => {
      const { ask, reload } = setup({}, over)
      for (let i = 0; i < 3; i++) {
        await ask()
        await ask(KEY)
      }
      expect(await ask()).toMatchObject({ by: 'refusal', status: 401 })
      expect(await ask(KEY)).toMatchObject({ by: 'pipeline', status: 200 })
      reload({ keys: ['wrong'] })
      for (let i = 0; i < 3; i++) {
        expect(await ask()).toMatchObject({ by: 'pipeline', status: 200 })
        expect(await ask(KEY)).toMatchObject({ by: i === 0 ? 'pipeline' : 'refusal', status: 401 })
      }
    })

    it('a token is looked at again when its refusal has had its time', async () => {
      const { ask, clock } = setup({}, over)
      const text = await new SignJWT({ sub: 'team' })
        .setProtectedHeader({ alg: 'HS256' })
        .setIssuer(ISSUER.issuer)
        .setExpirationTime(clock.wall() / 1000 - 60)
        .sign(new Uint8Array(32))
      const token = ['authorization', `Bearer ${text}`]
      const ways: string[] = []
      for (const ms of [0, 0, 999, 1, 0, 500]) {
        clock.advance(ms)
        const { by, status } = await ask(token)
        expect(status).toBe(401)
        ways.push(by)
      }
      expect(ways).toEqual(['pipeline', 'refusal', 'refusal', 'pipeline', 'refusal', 'refusal'])
    })
  },
)

describe.each<readonly [string, Door]>(DOORS)('a tenant that has used up its rate, over %s', (_, over) => {
  it('is told so under a head that is known, charged nothing for it, and let in again', async () => {
    const { ask, clock } = setup({ tenants: { team: { rate } } }, over)
    const ways = async (count: number) => {
      const all: string[] = []
      for (let i = 0; i < count; i++) {
        const { by, status } = await ask(KEY, { body: `{"instances":[${i}]}` })
        all.push(`${by} ${status}`)
      }
      return all
    }
    expect(await ways(5)).toEqual(['pipeline 200', 'pipeline 200', ...new Array(3).fill('refusal 429')])
    clock.advance(499)
    expect(await ways(1)).toEqual(['refusal 429'])
    clock.advance(1)
    expect(await ways(2)).toEqual(['pipeline 200', 'refusal 429'])
    const { answered, headers } = await ask(KEY)
    expect(answered).toMatchObject({ fault: 'rateLimited', limit: 'requests', tenant: 'team', route: 'main' })
    expect(header(headers, 'retry-after')).toBe('1')
  })
})

it('a tenant that has used up its rate is told before what else is wrong with its call, but for what comes first on the long way', async () => {
  const { ask } = setup({
    tenants: { team: { rate } },
    routes: [{ name: 'a', match: { model: 'a' } }, { name: 'rest' }],
  })
  for (let i = 0; i < 3; i++) await ask(KEY)
  expect(await ask(KEY)).toMatchObject({ by: 'refusal', status: 429 })
  expect(await ask(KEY, { body: 'x'.repeat(101) })).toMatchObject({ by: 'pipeline', status: 413 })
})

it('tells the date of the present second', async () => {
  const { ask, clock } = setup()
  for (let i = 0; i < 4; i++) {
    expect(header((await ask()).headers, 'date')).toBe(new Date(clock.wall()).toUTCString())
    clock.advance(700)
  }
})
